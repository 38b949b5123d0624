"""Buckets and objects, as Supabase Storage serves them."""
