"""Pages of the traffic settings."""
