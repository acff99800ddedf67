"""What a node does: images, builds, containers, network, router. Knows no Django, no Celery, no Redis."""
