"""The queue in the database as a client sees it: claims, leases, outcomes, progress, rights, removals.

Belongs here: every call of a `sentinel_…` function. This room knows nothing about a request's work. May import
`sources`, `supabase_client` and below.
"""
