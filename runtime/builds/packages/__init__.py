"""The packages that builds download: the settings of registries, and a cache for each team."""
