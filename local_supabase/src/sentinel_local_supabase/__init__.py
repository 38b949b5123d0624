"""A Supabase for development and tests, reached from this machine only. Not for production."""
