"""The imitated site, and a request's private folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.sources.social.site import Site, running_site


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with running_site() as running:
        yield running


@pytest.fixture
def private(tmp_path: Path) -> Path:
    folder = tmp_path / "private"
    folder.mkdir()
    return folder
