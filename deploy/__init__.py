"""What a release is made of and how it is run: the lock, its audit, its bill of materials, Docker, systemd."""
