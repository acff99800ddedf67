"""Layers: packed and unpacked, compared, and checked before they leave their disk."""
