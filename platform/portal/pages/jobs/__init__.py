"""Pages of cron jobs and runs."""
