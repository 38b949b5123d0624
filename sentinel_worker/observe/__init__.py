"""The worker's reports about itself: log events, masking of secrets, health.

Belongs here: event names, log formatting, the stream that takes the lines, anything that describes the process to an
operator. Imports no other room.
"""
