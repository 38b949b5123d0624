"""Where media comes from and where derived files go: Storage, URLs, posts of social sites, local files.

Belongs here: transfers under limits of bytes, time and speed, and the rules for which addresses may be reached.
May import `supabase_client` and below.
"""
