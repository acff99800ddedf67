"""Pages of request codes and traces."""
