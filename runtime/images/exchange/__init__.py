"""Images in and out: registries, archives, pushes and pulls."""
