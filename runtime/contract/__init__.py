"""Values that portal and runtime share: amounts, health checks, the manifest, error codes.

Pure: no I/O. Imports nothing else of Slipway.
"""
