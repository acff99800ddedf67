"""The formats of samples that the supervisor and the workers store in Redis."""
