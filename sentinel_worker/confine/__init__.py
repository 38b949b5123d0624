"""Walls around code that touches what strangers sent: processes, kernel layers, private folders.

Belongs here: Landlock, seccomp, namespaces, resource limits, processes without an environment, and folders that
something hostile may have filled. Knows nothing of media or requests. May import `domain` and below.
"""
