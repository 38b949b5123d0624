"""Films: which frame is on screen at a time, and the two readers that decode it.

Runs in a decoding child. May import `scan`, `containers`, `opened_media` and below of the room around it.
"""
