"""The garbage collector skips imported objects, and examines later ones."""

import gc
import importlib
from collections.abc import Iterator

import pytest

from sentinel_worker.heavy_imports import heavy_imports


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_an_import_makes_is_left_alone_also_where_it_fails() -> None:
    before, looked = gc.get_freeze_count(), []

    def fail() -> None:
        with heavy_imports():
            looked.append(gc.isenabled())
            importlib.import_module("sentinel_worker.not_there")

    with pytest.raises(ModuleNotFoundError):
        fail()
    assert (looked, gc.isenabled()) == ([False], True)
    assert gc.get_freeze_count() > before


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with heavy_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
