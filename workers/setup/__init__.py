"""Set-up: from a fresh clone to a running platform, and back. Standard library only: it runs before anything is installed."""
