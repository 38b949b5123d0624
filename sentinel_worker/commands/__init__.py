"""Commands that take more than a few lines. Thin; the work is done below them.

Belongs here: reading of options, output on the terminal, exit codes. May import every room; only `dev` imports the
local Supabase.
"""
