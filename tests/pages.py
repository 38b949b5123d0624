"""Checks pages of docs whose tables name the tests that prove their claims."""

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
NOT_RUN = frozenset({"skip", "skipif", "xfail"})
CHECKS = frozenset({"raises", "fail", "timeout", "wait_for"})
"""Other ways than `assert` to fail a test; the last two fail it when something does not arrive in time."""


def rows(page: str, first: str, below: str = "") -> dict[str, str]:
    """Return the third column by entry, of the three-column tables after the heading `below`.

    `first` is the name of the first column.
    """
    text = (TESTS.parent / "docs" / page).read_text(encoding="utf-8")
    text = text[text.index(below) :]
    lines = (line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| "))
    tables = [[cell.strip() for cell in line] for line in lines]
    return {entry: cell for entry, _, cell in tables if entry not in (first, "---")}


def assert_names_tests(cell: str) -> None:
    """Check that the cell names tests, and that each is collected, runs everywhere, and asserts something."""
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", cell)
    assert named
    for path, name in named:
        file = TESTS / path
        test = functions(file).get(name)
        assert test is not None, f"{path} has no {name}"
        assert file.name.startswith("test_"), f"{path} is not collected"
        assert name.startswith("test_"), f"{name} is not collected"
        assert not NOT_RUN & marks(file, test), f"{path}::{name} is not run everywhere"
        assert checks(file, test, frozenset()), f"{path}::{name} checks nothing"


@cache
def module(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def functions(file: Path) -> dict[str, ast.AST]:
    """Functions and classes at a module's top level, by name."""
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name: node for node in module(file).body if isinstance(node, defined)}


def marks(file: Path, test: ast.AST) -> set[str]:
    """The marks of a test and of its module: `skipif` for `@pytest.mark.skipif(…)`."""
    assigned = [node for node in module(file).body if isinstance(node, ast.Assign)]
    of_module = [node.value for node in assigned if ast.unparse(node.targets[0]) == "pytestmark"]
    marked = "\n".join(ast.unparse(node) for node in [*getattr(test, "decorator_list", []), *of_module])
    return set(re.findall(r"\bpytest\.mark\.(\w+)", marked))


def checks(file: Path, function: ast.AST, seen: frozenset[tuple[Path, str]]) -> bool:
    """True if a function asserts, or calls a function of the tests that does."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Attribute) and node.attr in CHECKS:
            return True
    for name in {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}:
        where = file if name in functions(file) else imported(file).get(name)
        if where is None or (where, name) in seen or name not in functions(where):
            continue
        if checks(where, functions(where)[name], seen | {(where, name)}):
            return True
    return False


@cache
def imported(file: Path) -> dict[str, Path]:
    """Return, for each name imported from the tests, the file of its module."""
    found: dict[str, Path] = {}
    for node in ast.walk(module(file)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests."):
            source = TESTS.parent / Path(*(node.module or "").split(".")).with_suffix(".py")
            if source.is_file():
                found |= {alias.asname or alias.name: source for alias in node.names}
    return found
