"""Speeds up imports that take seconds."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Disable the garbage collector during imports, and exclude all objects that exist then from later collections.

    torch and transformers create 700,000 objects that live as long as the process; collecting takes an eighth of
    their import time.
    """
    looked = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if looked:
            gc.enable()
