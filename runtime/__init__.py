"""The node's part of the platform: images, builds, containers, network and router.

It does not import Django, Celery or Redis.
"""
