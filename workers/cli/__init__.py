"""The operator's commands `manage.py image`, `router` and `stack`. Functions return an `Answer`."""
