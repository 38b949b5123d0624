"""The terms of the field as plain values: errors, requests, verdicts, windows, media facts.

Belongs here: immutable types and pure rules that several rooms share. No I/O, no torch. May import `observe`.
"""
