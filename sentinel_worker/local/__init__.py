"""A Supabase for development and tests, on this machine alone. Not for production."""
