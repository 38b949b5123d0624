"""Reports the CPU seconds of every test, so that an expensive one stands out: `make test-durations`.

A test's seconds are those of this process and all its descendants (servers, workers, browsers), setup and teardown
included. The first test that uses a session fixture pays for its start.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

_KEY = "cpu_seconds"
_SLOWEST = 30
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_looking_seconds = 0.0


def _cpu_seconds() -> float:
    """CPU seconds of this process and all its descendants, without those spent on measuring."""
    global _looking_seconds  # noqa: PLW0603 - one of a process
    own = sum(os.times()[:4]) - _looking_seconds
    began = time.thread_time()
    ticks = _of_descendants()
    _looking_seconds += time.thread_time() - began
    return own + ticks / _TICKS_A_SECOND


def _of_descendants() -> int:
    """Clock ticks of all living descendants and of their children that have ended."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended; its parent now accounts for it
            fields = path.read_text().rpartition(")")[2].split()
            process = int(path.parent.name)
            children.setdefault(int(fields[1]), []).append(process)
            ticks[process] = sum(map(int, fields[11:15]))
    found, total = [os.getpid()], 0
    while found:
        for child in children.get(found.pop(), []):
            found.append(child)
            total += ticks[child]
    return total


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
    tests: defaultdict[str, float] = defaultdict(float)
    folders: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            seconds = dict(getattr(report, "user_properties", ())).get(_KEY)
            if isinstance(seconds, float):
                tests[report.nodeid] += seconds
                folders[os.path.dirname(report.nodeid.split("::")[0])] += seconds  # noqa: PTH120
    terminalreporter.section(f"CPU seconds: the slowest {_SLOWEST} tests, then each folder")
    for name, seconds in _slowest(tests)[:_SLOWEST]:
        terminalreporter.line(f"{seconds:8.1f}  {name}")
    terminalreporter.line(f"{sum(tests.values()):8.1f}  in all")
    for name, seconds in _slowest(folders):
        terminalreporter.line(f"{seconds:8.1f}  {name}")


def _slowest(seconds: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(seconds.items(), key=lambda one: -one[1])
