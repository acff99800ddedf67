"""The documentation (docs/*.md) as pages of the portal."""
