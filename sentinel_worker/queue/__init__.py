"""The queue in the database as a client sees it: claims, leases, outcomes, progress, rights, removals.

Belongs here: every call of a `sentinel_…` function. What a request's work is, this room does not know. May import
`sources`, `supabase_client` and below.
"""
