"""Loops, waits, backoff, and places that users share in turn.

Belongs here: asyncio building blocks that know nothing of Supabase, media or models. May import `confine` and below.
"""
