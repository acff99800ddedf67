"""Packages that stacks are made from: Debian, npm."""
