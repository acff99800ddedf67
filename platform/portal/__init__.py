"""The web part of Slipway: people, teams, apps, builds, releases. It never imports runtime or
workers."""
