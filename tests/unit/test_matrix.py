"""Matrices that a change calls for; the table names only existing paths."""

from pathlib import Path

import pytest

from tests import matrix

ROOT = Path(__file__).parents[2]


def test_a_path_calls_for_every_matrix_that_lists_it() -> None:
    assert matrix.called_for(["migrations/1_a.sql", "docs/local.md"]) == [
        "postgres",
        "rights",
        "contract",
        "clients",
        "faults",
    ]


@pytest.mark.parametrize("path", ["pyproject.toml", "tests/conftest.py", "a-new-folder/file"])
def test_a_path_that_no_list_names_calls_for_all(path: str) -> None:
    assert matrix.called_for(["docs/local.md", path]) == matrix.names()


def test_what_no_matrix_looks_at_calls_for_none() -> None:
    assert matrix.called_for(["README.md", "docs/adr/0001-the-fence.md"]) == []


def test_the_table_names_paths_that_exist() -> None:
    table = matrix.table()
    listed = [*table["other_paths"], *(path for one in table["matrix"].values() for path in one["paths"])]
    assert [path for path in listed if not (ROOT / path).exists()] == []


def test_a_sample_is_what_runs_without_its_matrix() -> None:
    values = matrix.sampled("formats", ["mp4", "mkv", "webm"], ["mkv"])
    marks = [None if isinstance(one, str) else one.marks[0].args for one in values]
    assert marks == [("formats",), None, ("formats",)]


def test_a_sample_that_matches_nothing_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="avi"):
        matrix.sampled("formats", ["mp4"], ["avi"])
