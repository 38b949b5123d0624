"""CPU seconds of every test, so that a dear one is seen: `make test-durations`.

A test's seconds are those of this process and of every child that ended meanwhile, setup and teardown included. The
first test of a session fixture pays for it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest

_KEY = "cpu_seconds"
_SLOWEST = 30


def _cpu_seconds() -> float:
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    return (yield from _counted(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    return (yield from _counted(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    return (yield from _counted(item))


def _counted(item: pytest.Item) -> Iterator[None]:
    before = _cpu_seconds()
    try:
        return (yield)
    finally:
        kept = [one for one in item.user_properties if one[0] != _KEY]
        item.user_properties[:] = [*kept, (_KEY, _cpu_seconds() - before)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tests: Counter[str] = Counter()
    folders: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            seconds = dict(getattr(report, "user_properties", ())).get(_KEY)
            if isinstance(seconds, float):
                tests[report.nodeid] += seconds
                folders[os.path.dirname(report.nodeid.split("::")[0])] += seconds  # noqa: PTH120
    terminalreporter.section(f"CPU seconds: the dearest {_SLOWEST} tests, then each folder")
    for name, seconds in tests.most_common(_SLOWEST):
        terminalreporter.line(f"{seconds:8.1f}  {name}")
    terminalreporter.line(f"{tests.total():8.1f}  in all")
    for name, seconds in folders.most_common():
        terminalreporter.line(f"{seconds:8.1f}  {name}")
