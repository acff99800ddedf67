"""Compiled code in the packages of an app: what it links to, and why a compilation failed."""
