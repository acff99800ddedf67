"""Probes of instances: the health check, its network part, and its stored results."""
