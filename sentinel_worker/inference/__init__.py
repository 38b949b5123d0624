"""From a file to a verdict: choice of detectors, batches on one thread, evidence.

Belongs here: everything about one file that needs no database. May import `detectors`, `sources`, `media` and below.
"""
