"""The disk of a container: shared layers, its writable layer, and private disks."""
