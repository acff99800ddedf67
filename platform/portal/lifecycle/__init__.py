"""Use cases that touch several parts: create, configure and delete apps, people and teams; rotate
keys.
"""
