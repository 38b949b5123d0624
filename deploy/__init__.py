"""Contents and deployment of a release: the lock, its audit, its bill of materials, Docker, systemd."""
