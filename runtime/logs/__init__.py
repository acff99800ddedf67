"""An app's log: its line format, its files, and the shipping of container output into it."""
