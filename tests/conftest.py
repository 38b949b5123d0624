"""What tests of several folders share."""

import os
from pathlib import Path

import pytest

from sentinel_worker.local import samples
from tests import matrix
from tests.rights.summary import pytest_terminal_summary  # noqa: F401 - a hook


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The demo's six clips by file name, encoded once for all processes of this run."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "clips"
    return {path.name: path for path, _ in samples.make(folder)}


def pytest_addoption(parser: pytest.Parser) -> None:
    matrix.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    matrix.configure(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    matrix.select(config, items)
