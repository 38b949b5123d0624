"""Wake-ups from Supabase Realtime: hints that set an event and carry no data.

May import `supabase_client` and below.
"""
