"""Programs that the portal runs on tenants' bytes, each held to memory, CPU, processes and time of its team."""
