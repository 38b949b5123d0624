"""Walls around code that handles untrusted input: processes, kernel layers, private folders.

Belongs here: Landlock, seccomp, namespaces, resource limits, processes without an environment, and folders that hostile
code may have filled. Knows nothing of media or requests. May import `domain` and below.
"""
