"""Previews: a file's pictures and sound, encoded again as an MP4 that browsers play.

Belongs here: what a child of the profile `preview` does after the file is open. May import what `media` may.
"""
