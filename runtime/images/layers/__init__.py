"""The operations on layers: packing, unpacking, comparison, and sanitizing."""
