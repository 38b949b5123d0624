"""Settings from the environment and secrets from files, read once and checked together.

Belongs here: every environment variable and its limits. May import `confine` and below.
"""
