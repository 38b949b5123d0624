"""Imports that take seconds."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Import without looking for cycles, and leave all that lives by then out of every later look.

    torch and transformers make 700,000 objects that live as long as the process: to go through them again and again
    is an eighth of their import.
    """
    looked = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if looked:
            gc.enable()
