"""Connections to Supabase: keys and their rotation, the circuit breaker, errors.

Belongs here: everything that applies to any call to the project, to any of its services. May import `config`,
`concurrency` and below.
"""
