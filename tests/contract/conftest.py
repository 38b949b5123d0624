"""Fixtures: the local Supabase that recordings are replayed against, and the verdict on a replay."""

from collections.abc import AsyncIterator, Callable

import pytest

from sentinel_local_supabase.stack import Stack
from tests.contract import page, realtime
from tests.contract.__main__ import SERVICES, two_schemas
from tests.contract.report import Report


@pytest.fixture
async def bare_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A separate stack for one test, with an empty schema `public`, which also exposes `private_api`."""
    async with two_schemas(tmp_path_factory.mktemp("bare")) as running:
        yield running


@pytest.fixture
async def realtime_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A separate stack for one test, with an empty schema `public` and Realtime at its fast pace."""
    start, _ = SERVICES[realtime.NAME]
    async with start(tmp_path_factory.mktemp("realtime")) as running:
        yield running


@pytest.fixture
def conclude(capsys: pytest.CaptureFixture[str]) -> Callable[[Report], None]:
    """Finish a service's replay: print its summary; assert that nothing is unexplained and that the page agrees."""

    def judge(report: Report) -> None:
        with capsys.disabled():
            print(f"\n{report.summary()}")  # noqa: T201
        assert report.unexplained == [], report.text()
        assert page.section(report.service) == report.markdown(), (
            "docs/contract.md is out of date: python -m tests.contract --write"
        )

    return judge
