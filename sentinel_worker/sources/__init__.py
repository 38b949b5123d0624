"""Sources of media and the destination of derived files: Storage, URLs, posts of social sites, local files.

Belongs here: transfers limited in bytes, time and speed, and the rules about which addresses may be reached.
May import `supabase_client` and below.
"""
