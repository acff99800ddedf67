"""Live updates of pages: server-sent events."""
