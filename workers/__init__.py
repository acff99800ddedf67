"""The Celery app and its tasks, the node supervisor, and the bridge between rows and the runtime.

The bridge is the only code that translates between rows of the portal and values of the runtime.
"""
