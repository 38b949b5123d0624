"""Fixture: one stack with a prepared world, for all tests of rights."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.rights.asking import Asking, asking


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Asking]:
    """The stack under test, with every row in its place when a session starts."""
    async with asking(tmp_path_factory.mktemp("rights")) as prepared:
        yield prepared
