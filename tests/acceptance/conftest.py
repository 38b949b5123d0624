"""Fixture: one world for all tests of this folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.world import World, running_world


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def world(clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Supabase and a worker, for every scenario of every client."""
    films = clips["bikes.mp4"].parent
    async with running_world(tmp_path_factory.mktemp("world"), films) as running:
        yield running
