"""A worker daemon that answers media analysis requests kept in Supabase."""

__version__ = "0.1.0"
