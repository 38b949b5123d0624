"""Sound: the track that plays, decoded in one pass and cut into windows of mono samples.

Runs in a decoding child. May import `scan`, `films`, `containers`, `decode`, `opened_media` and below of the room
around it.
"""
