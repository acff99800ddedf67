"""The supervisor: one process per node that observes instances and the router, and asks the workers to act."""
