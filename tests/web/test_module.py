"""The module of examples/web: its types, its style and its unit tests, and the page that shows it."""

from tests.web import page
from tests.web.node import installed, run_node


def test_it_is_strict_typescript() -> None:
    """Includes `tests/mistakes.ts`, whose lines the compiler has to refuse."""
    run_node(installed() / "node_modules/typescript/bin/tsc", "--noEmit")


def test_eslint_has_nothing_to_say() -> None:
    run_node(installed() / "node_modules/eslint/bin/eslint.js", "--max-warnings", "0", ".")


def test_its_unit_tests_pass() -> None:
    run_node(installed() / "node_modules/vitest/vitest.mjs", "run")


def test_the_page_is_the_module() -> None:
    assert page.written() == page.PAGE.read_text(encoding="utf-8"), "run `python -m tests.web.page`"
    assert page.shown() | page.NOT_SHOWN == {path.name for path in page.MODULE.glob("*.ts")}
