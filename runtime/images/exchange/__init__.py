"""The import and export of images: registries, archives, pushes and pulls."""
