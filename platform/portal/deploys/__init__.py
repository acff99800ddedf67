"""Deploys: from a source to a build, a release and its rollout."""
