"""The command line of Slipway. It uses the public API alone."""
