"""Migrations and the ledger they share with the Supabase CLI.

The migrations themselves are in `migrations/`. May import `concurrency` and below.
"""
