"""Untrusted media: what it is, which parts are looked at, and the child processes that decode it."""
