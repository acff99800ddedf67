"""Set-up: from a fresh clone to a running platform, and back.

It uses only the standard library, because it runs before anything is installed.
"""
