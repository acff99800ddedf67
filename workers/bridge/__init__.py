"""The bridge between the portal's rows and the runtime's values."""
