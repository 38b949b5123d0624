"""Fixtures shared by several folders."""

from collections.abc import AsyncIterator

import pytest_asyncio

from sentinel_worker.media.zygote import Zygote


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def zygote() -> AsyncIterator[Zygote]:
    """A running zygote, shared because it takes seconds to start."""
    running = Zygote()
    await running.start()
    yield running
    await running.stop()
