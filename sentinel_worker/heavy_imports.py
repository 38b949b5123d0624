"""Imports that take seconds."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Import without looking for cycles, and leave what was imported out of every later look.

    torch and transformers make 700,000 objects that live as long as the process: to go through them again and again
    is an eighth of their import.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
