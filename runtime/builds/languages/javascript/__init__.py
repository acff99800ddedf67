"""Versions of Node.js, scripts of package.json, frameworks and sites."""
