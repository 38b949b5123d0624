"""What the worker says about itself: log events, masking of secrets, its condition.

Belongs here: event names, log formatting, anything that describes the process to an operator. Imports no other room.
"""
