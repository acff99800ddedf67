"""Pages of releases and rollouts."""
