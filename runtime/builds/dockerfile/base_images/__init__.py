"""Base images of Dockerfiles: stacks of this node, images of registries, and substitutes."""
