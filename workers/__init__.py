"""The Celery app and its thin tasks, the node supervisor, the one bridge between rows and runtime values."""
