"""A whole local Supabase for the tests of its services; one with our migrations, one without."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sentinel_worker.local.stack import Stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The stack with this product's migrations."""
    async with Stack(tmp_path_factory.mktemp("stack"), port=0, durable=False) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bare_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack with an empty schema `public`, and `private_api` exposed too."""
    folder = tmp_path_factory.mktemp("bare")
    exposed = ("public", "private_api")
    async with Stack(folder, port=0, durable=False, migrations=False, exposed_schemas=exposed) as running:
        yield running
