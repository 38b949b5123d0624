"""Where media comes from, and where derived files go."""
