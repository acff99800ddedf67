"""The formats in which supervisor and workers keep samples in Redis."""
