"""RUN of a Dockerfile: its values, its cache mounts, and the container that runs it."""
