"""The local Supabase's own errors: each code is declared, raised and documented."""

import ast
import re
from pathlib import Path

import pytest

from sentinel_local_supabase import errors

PAGE = (Path(__file__).parents[2] / "docs" / "local.md").read_text(encoding="utf-8")


def test_every_code_is_documented_as_it_is_declared() -> None:
    section = PAGE.partition("\n## Errors\n")[2].partition("\n## ")[0]
    assert dict(re.findall(r"^\| `([a-z_]+)` \| (.+) \|$", section, re.MULTILINE)) == errors.CODES


def test_every_declared_code_is_raised_and_no_other_is() -> None:
    raised = set()
    for path in Path(errors.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "LocalSupabaseError":
                assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}"
                raised.add(node.args[0].value)
    assert raised == set(errors.CODES)


def test_an_undeclared_code_cannot_be_raised() -> None:
    with pytest.raises(AssertionError, match="never_heard_of"):
        errors.LocalSupabaseError("never_heard_of", "Because.")
