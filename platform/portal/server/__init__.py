"""The ASGI application: its handler, middleware, refusals and gunicorn worker."""
