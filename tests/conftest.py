"""Fixtures shared by several folders."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from examples import samples
from sentinel_local_supabase.stack import Stack
from tests import matrix, stacks
from tests.integration.players import figure
from tests.rights import summary as rights
from tests.seeds import Seeds


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder shared by all processes of this test run."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def clips(run_folder: Path) -> dict[str, Path]:
    """The demo's six clips by file name, encoded once for all processes of this test run."""
    return {path.name: path for path, _ in samples.make(run_folder / "clips")}


@pytest.fixture(scope="session", autouse=True)
def _templates(run_folder: Path) -> None:
    stacks.keep_templates_in(run_folder / "templates")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The local Supabase shared by this process's tests that break nothing, in the state the previous test left it."""
    async with stacks.stack_at(tmp_path_factory.mktemp("shared") / "supabase", pace="fast") as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def seeds(shared_stack: Stack) -> Seeds:
    """Snapshot of the shared local Supabase at its start."""
    return Seeds(shared_stack)


@pytest_asyncio.fixture(loop_scope="session")
async def clean_stack(shared_stack: Stack, seeds: Seeds) -> Stack:
    """The shared local Supabase, reset to its state at start: no users, requests, objects, workers or faults."""
    await seeds.restore()
    return shared_stack


def pytest_addoption(parser: pytest.Parser) -> None:
    matrix.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    matrix.configure(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    matrix.select(config, items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the figures that tests recorded in all processes."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    properties = [one for report in reports for one in report.user_properties]
    for line in (rights.summary(properties), figure.summary(properties)):
        if line is not None:
            terminalreporter.write_line(line)
