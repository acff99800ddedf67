"""TLS: certificates, their store, and their issue by ACME."""
