"""Steps of a Dockerfile that make layers: RUN, COPY, ADD and WORKDIR."""
