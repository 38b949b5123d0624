"""Matrices: many cases of one promise. `make test` runs a fixed sample of each, `make test-all` every case.

A test or a parameter with the mark `matrix(NAME)` runs only with `--matrix NAME` or `--matrix all`. With
`--only-matrix` nothing else runs. `tests/matrices.toml` lists the matrices and the paths whose change calls for each;
`python -m tests.matrix` prints those that the commits since its `base` call for.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final

import hypothesis
import pytest

TABLE: Final = Path(__file__).with_name("matrices.toml")
EXAMPLES: Final = "examples"
"""The matrix of Hypothesis: every property test again, with all its examples and new ones each time."""
THIN_EXAMPLES: Final = 20
_full = False


def table() -> dict[str, Any]:
    """Parse `matrices.toml`."""
    return tomllib.loads(TABLE.read_text())


def names() -> list[str]:
    """Names of all matrices."""
    return list(table()["matrix"])


def called_for(changed: Iterable[str]) -> list[str]:
    """Matrices that a change of these paths calls for; a path that no list of the table names calls for all."""
    lists = {name: tuple(one["paths"]) for name, one in table()["matrix"].items()}
    others = tuple(table()["other_paths"])
    called: set[str] = set()
    for path in changed:
        by = {name for name, paths in lists.items() if path.startswith(paths)}
        called |= by or (set() if path.startswith(others) else set(lists))
    return [name for name in lists if name in called]


def changed_since_base() -> list[str] | None:
    """Paths that differ between `base` and the working tree, new files included; None if the clone lacks `base`."""
    differ = _git("diff", "--name-only", "--no-renames", table()["base"])
    new = _git("ls-files", "--others", "--exclude-standard", "--full-name")
    return None if differ is None or new is None else [*differ, *new]


def _git(*words: str) -> list[str] | None:
    done = subprocess.run(["git", *words], cwd=TABLE.parents[1], capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else None


def sampled(name: str, values: Iterable[Any], sample: Collection[Any]) -> list[Any]:
    """Parameters, of which only those in `sample` run without `--matrix name`; `sample` must be a subset."""
    listed = list(values)
    missing = [one for one in sample if one not in listed]
    assert not missing, f"the sample of matrix '{name}' names {missing}, which are not among its values"
    return [one if one in sample else pytest.param(one, marks=pytest.mark.matrix(name)) for one in listed]


def examples(full: int, thin: int = THIN_EXAMPLES) -> int:
    """Number of examples for `hypothesis.settings`: `full` with `--matrix examples`, otherwise few."""
    return full if _full else min(full, thin)


def add_options(parser: pytest.Parser) -> None:
    """Add `--matrix NAME` (repeated, or `all`) and `--only-matrix`."""
    group = parser.getgroup("matrices")
    group.addoption("--matrix", action="append", default=[], choices=["all", *names()], help="run this matrix in full")
    group.addoption("--only-matrix", action="store_true", help="run nothing but the matrices that --matrix names")


def configure(config: pytest.Config) -> None:
    """Choose how many examples Hypothesis tries. Must run before test modules are imported."""
    global _full  # noqa: PLW0603 - one of a run, read by decorators at import
    config.addinivalue_line("markers", "matrix(name): one of many cases; runs with --matrix NAME")
    _full = EXAMPLES in _chosen(config)
    hypothesis.settings.register_profile("thin", max_examples=THIN_EXAMPLES, derandomize=True, deadline=None)
    hypothesis.settings.register_profile("full", deadline=None)
    hypothesis.settings.load_profile("full" if _full else "thin")


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect cases of matrices that were not asked for."""
    chosen, only = _chosen(config), config.getoption("--only-matrix")
    known = set(names())
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        of = {str(mark.args[0]) for mark in item.iter_markers("matrix")}
        assert of <= known, f"{item.nodeid} belongs to a matrix that {TABLE.name} does not list: {of - known}"
        extra = of or ({EXAMPLES} if _is_property(item) else set())
        runs = bool(extra & chosen) if only or of else True
        (kept if runs else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def _chosen(config: pytest.Config) -> set[str]:
    asked = set(config.getoption("--matrix"))
    return set(names()) if "all" in asked else asked


def _is_property(item: pytest.Item) -> bool:
    return hypothesis.is_hypothesis_test(getattr(item, "obj", None))


if __name__ == "__main__":
    changed_paths = changed_since_base()
    if changed_paths is None:
        sys.stderr.write(f"{table()['base']} is not in this clone: all matrices run.\n")
    print(" ".join(names() if changed_paths is None else called_for(changed_paths)))  # noqa: T201
