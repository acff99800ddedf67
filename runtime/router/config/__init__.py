"""HAProxy's configuration as text. Pure."""
