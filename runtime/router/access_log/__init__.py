"""The router's access log: its line format, its receiver, and the metrics counted from it."""
