"""The command line of Slipway. It uses the public API alone."""

__version__ = "0.1.0"
