"""The map of rooms in docs/architecture.md: every room, its floor by import-linter, and its docstring's first words."""

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "sentinel_worker"
NOT_ON_THE_MAP = {"heavy_imports"}
"""Modules beside the rooms that the text above the table names."""


def docstring(room: str) -> str:
    module = PACKAGE / room / "__init__.py"
    tree = ast.parse((module if module.exists() else PACKAGE / f"{room}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").replace("\n", " ")


def first_words(room: str) -> str:
    return docstring(room).partition("  ")[0]


def table() -> str:
    """The table as it has to be, highest floor first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    [layers] = [one["layers"] for one in contracts if one.get("containers") == ["sentinel_worker"]]
    rows = ["| floor | room | what is in it |", "| --- | --- | --- |"]
    for floor, rooms in zip(reversed(range(len(layers))), layers, strict=True):
        for room in rooms.split(" | "):
            if room not in NOT_ON_THE_MAP:
                name = f"`{room}/`" if (PACKAGE / room).is_dir() else f"`{room}`"
                rows.append(f"| {floor} | {name} | {first_words(room)} |")
    return "\n".join(rows)


def test_the_map_is_what_the_rooms_say() -> None:
    assert table() in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_room_says_what_belongs_there_and_what_it_may_import() -> None:
    rooms = [path.parent for path in PACKAGE.glob("*/__init__.py")]
    assert len(rooms) > 10
    assert [room.name for room in rooms if len(first_words(room.name)) < 20] == []
    without = [room.name for room in rooms if not re.search(r"\b(May import|Imports no)\b", docstring(room.name))]
    assert without == [], "their docstrings do not say what they may import"
