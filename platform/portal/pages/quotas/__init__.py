"""Pages of quotas and the capacity."""
