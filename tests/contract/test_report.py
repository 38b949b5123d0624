"""The report turns red for a difference, and docs/contract.md says what it says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sentinel_worker.local.stack import Stack
from tests.contract import __main__ as program
from tests.contract import page
from tests.contract.report import Report

ROOT = Path(__file__).parents[2]


async def test_a_planted_difference_is_reported(bare_stack: Stack) -> None:
    report = Report("PostgREST")
    await program.compare_planted(bare_stack, report)
    assert [str(entry) for entry in report.unexplained] == [f"{program.PLANTED}: status 200, recorded 201"]
    assert report.matching == report.in_scope - 1 == len(report.entries) - 1 > 5
    assert f"{program.PLANTED}: status 200, recorded 201" in report.text()


@pytest.mark.parametrize(("options", "code"), [(["--plant"], 1), (["--no-such-option"], 2)])
def test_the_program_exits_with_1_for_a_difference(options: list[str], code: int) -> None:
    program_line = [sys.executable, "-m", "tests.contract", *options]
    ended = subprocess.run(program_line, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended.stderr
    assert ("DIFFERS" in ended.stdout) == (code == 1)


def test_the_outcomes_are_counted_apart_and_in_order() -> None:
    report = Report("Some")
    report.compared("a", [])
    report.compared("b", ["status 1, recorded 2"], "for a reason")
    report.compared("c", ["status 1, recorded 2", "body x, recorded y"])
    report.leave_out("d", "not | recorded")
    assert (report.matching, report.in_scope, round(report.share, 2)) == (1, 3, 0.33)
    assert [entry.outcome for entry in report.entries] == ["match", "explained", "unexplained", "left out"]
    assert report.summary() == (
        "Some: 1 of 3 exchanges match (33.3%), 1 differ for a known reason, 1 without one, 1 left out"
    )
    assert str(report.unexplained[0]) == "c: status 1, recorded 2\nc: body x, recorded y"
    assert "| `b` | for a reason |" in report.markdown()
    assert "| `d` | not \\| recorded |" in report.markdown()


def test_a_reason_for_what_matches_and_an_omission_without_one_are_refused() -> None:
    report = Report("Some")
    report.compared("a", [], "for a reason")
    assert len(report.unexplained) == 1
    with pytest.raises(ValueError, match="without a reason"):
        report.leave_out("b", "")


@pytest.mark.parametrize("service", list(program.SERVICES))
def test_the_page_has_a_list_of_every_service(service: str) -> None:
    assert page.section(service).startswith(f"## {service}\n")


def test_the_page_is_written_in_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    copy = tmp_path / "contract.md"
    copy.write_text(page.PAGE.read_text())
    monkeypatch.setattr(page, "PAGE", copy)
    report = Report("PostgREST")
    report.differ("only", ["status 1, recorded 2"], "for a reason")
    others = page.section("Storage")
    page.write(report)
    assert page.section("PostgREST") == report.markdown()
    assert page.section("Storage") == others
