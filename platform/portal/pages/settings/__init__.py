"""Settings of an app, by sections with a menu. Each section has its own URL."""
