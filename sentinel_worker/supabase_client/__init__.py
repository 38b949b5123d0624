"""Connections to Supabase: keys and their rotation, the circuit breaker, what refusals mean.

Belongs here: everything true of any call to the project, whichever service answers it. May import `config`,
`concurrency` and below.
"""
