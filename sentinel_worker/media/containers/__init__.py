"""Containers: what a file is by its own bytes, what it promises, and what is refused by name.

Runs in a decoding child. May import `refused_files` of the room around it.
"""
