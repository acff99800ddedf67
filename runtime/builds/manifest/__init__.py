"""Parsing of an app's manifest (`slipway.toml`, `app.json`) and Procfile. Pure."""
