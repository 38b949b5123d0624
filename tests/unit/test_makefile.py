"""`make reports` prints every report, even if one finds something; `make test-matrices` names matrices to pytest."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REPORTS = (
    *("tests.rights", "tests.contract", "tests.integration.database.versions", "tests.integration.people"),
    *("tests.integration.players", "tests.integration.splices", "tests.acceptance"),
)
INSTALLED = [option for target in (".venv/.installed", "test-packages") for option in ("-o", target)]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize("red", [None, *REPORTS])
def test_a_red_report_fails_the_run_and_hides_no_other(tmp_path: Path, red: str | None) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "printed $2"\ntest "$2" != "{red}"\n')
    python.chmod(0o755)
    line = ["make", *INSTALLED, "reports", f"BIN={tmp_path}"]
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert [text for text in ended.stdout.splitlines() if text.startswith("printed")] == [
        f"printed {report}" for report in REPORTS
    ], ended.stderr
    assert (ended.returncode == 0) == (red is None)
    assert (f"red: {red}" in ended.stdout) == (red is not None)


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_a_matrix_that_is_called_like_a_folder_is_no_path_to_pytest() -> None:
    """`--matrix examples` in two words would be the folder `examples`, where pytest knows none of the options."""
    line = ["make", *INSTALLED, "test-matrices", "MATRICES=formats examples", "PYTEST=echo asked:"]
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    _, asked = ended.stdout.split("asked:")
    assert asked.splitlines()[0].split() == ["--only-matrix", "--matrix=formats", "--matrix=examples"]
