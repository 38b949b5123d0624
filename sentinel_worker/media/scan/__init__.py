"""The scan: every packet of a file, read once, and the clock of each track that follows from them.

Runs in a decoding child. May import `containers` and `refused_files` of the room around it.
"""
