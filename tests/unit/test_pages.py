"""A page fails if it names a test that proves nothing."""

from pathlib import Path

import pytest

from tests import pages

TESTS = {
    "proves": "def test_it():\n    assert 1",
    "by another": "def look():\n    with pytest.raises(OSError):\n        open('x')\n\ndef test_it():\n    look()",
    "checks nothing": "def look():\n    return test_it\n\ndef test_it():\n    look()",
    "is not run everywhere": "@pytest.mark.skipif(True, reason='')\ndef test_it():\n    assert 1",
    "has no test_it": "def other():\n    assert 1",
}


@pytest.mark.parametrize("kind", TESTS)
def test_a_named_test_is_run_and_checks_something(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "TESTS", tmp_path)
    (tmp_path / "test_x.py").write_text(TESTS[kind])
    if kind in ("proves", "by another"):
        pages.assert_names_tests("`test_x.py::test_it`")
    else:
        with pytest.raises(AssertionError, match=kind):
            pages.assert_names_tests("`test_x.py::test_it`")


def test_a_whole_module_that_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "TESTS", tmp_path)
    (tmp_path / "test_x.py").write_text("pytestmark = [pytest.mark.xfail]\n\ndef test_it():\n    assert 1")
    with pytest.raises(AssertionError, match="not run everywhere"):
        pages.assert_names_tests("`test_x.py::test_it`")
