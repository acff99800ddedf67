"""Parts of a Python build: the web process, hooks, static files and commands of other tools."""
