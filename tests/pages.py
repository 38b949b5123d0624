"""Pages of docs whose tables name the tests of what they say."""

import re
from pathlib import Path

TESTS = Path(__file__).parent


def rows(page: str, first: str, below: str = "") -> dict[str, str]:
    """What the third column says of each entry in the tables of three columns, after the heading `below`.

    `first` is the name of the first column.
    """
    text = (TESTS.parent / "docs" / page).read_text(encoding="utf-8")
    text = text[text.index(below) :]
    lines = (line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| "))
    tables = [[cell.strip() for cell in line] for line in lines]
    return {entry: cell for entry, _, cell in tables if entry not in (first, "---")}


def assert_names_tests(cell: str) -> None:
    """At least one test is named, and all that are named exist."""
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", cell)
    assert named
    for path, test in named:
        source = (TESTS / path).read_text(encoding="utf-8")
        assert re.search(rf"^(async )?def {test}\(", source, re.MULTILINE), f"{path} has no {test}"
