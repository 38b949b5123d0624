"""Range of integers that every JSON reader preserves."""

from typing import Final

LARGEST: Final = 2**53 - 1
"""Largest integer that every JSON reader preserves; larger than any length, size or count of a file.

Python itself refuses to read or write an integer of thousands of digits.
"""
