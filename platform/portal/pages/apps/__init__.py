"""Pages of an app: overview, settings, processes, logs."""
