"""The run loop, the pipeline of a request, and the outcome of errors.

Belongs here: decisions about requests. May import `queue`, `wake`, `inference` and below; only `daemon` builds it.
"""
