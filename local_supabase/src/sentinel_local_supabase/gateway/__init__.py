"""The one HTTP server in front of all services, in a process of its own."""
