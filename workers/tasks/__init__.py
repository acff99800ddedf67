"""The Celery tasks: builds, rollouts, reconciling, domains, jobs and the regular clean-up."""
