"""The web side of Slipway: people, teams, apps, builds, releases. Never imports runtime or workers."""
