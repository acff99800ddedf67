"""The source of a build: its archive, the unpacked tree, and the layer made from it."""
