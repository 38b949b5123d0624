"""No `except*`: before 3.11.4, Python wraps an exception raised inside it in another group, which hides the code."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2] / "sentinel_worker"


def test_no_group_is_caught_with_a_star() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.TryStar)
    ]
    assert not found
