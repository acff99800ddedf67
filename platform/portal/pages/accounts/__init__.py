"""Pages for signing in, people, teams and tokens."""
