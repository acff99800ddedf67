"""Log files: their lines, and search in them."""
