"""HTTP helpers of views: request bodies, disconnects, file responses."""
