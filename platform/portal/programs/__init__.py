"""Programs that the portal runs on tenants' data. Each has its team's limits of memory, CPU,
processes and time."""
