"""The supervisor: one process per node that observes instances and the router.

It sends tasks to the workers, which act.
"""
