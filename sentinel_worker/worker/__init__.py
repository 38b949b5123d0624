"""The run loop, a request's way through it, and what an error means for the request.

Belongs here: decisions about requests. May import `queue`, `wake`, `inference` and below; only `daemon` builds it.
"""
