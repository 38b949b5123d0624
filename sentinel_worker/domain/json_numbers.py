"""The numbers that every reader of JSON keeps as they are."""

from typing import Final

LARGEST: Final = 2**53 - 1
"""More than any length, size or count of a file. Python itself refuses to read or write one of thousands of digits."""
