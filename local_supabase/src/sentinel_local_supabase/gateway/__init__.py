"""The HTTP server in front of all services, which runs in its own process."""
