"""The languages: how each source is recognised, and what its build installs and starts. Pure."""
