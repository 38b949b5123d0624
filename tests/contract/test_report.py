"""The report fails for a difference, and docs/contract.md agrees with it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from sentinel_local_supabase.stack import Stack
from tests.contract import __main__ as program
from tests.contract import page, planted, postgrest, realtime, storage
from tests.contract.explained import Difference, Known, judge
from tests.contract.realtime_frames import cues
from tests.contract.realtime_sides import FREE_ORDERS, FreeOrder
from tests.contract.replay import COMPARED_HEADERS
from tests.contract.report import Report
from tests.stacks import stack_at


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planted_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """One stack for all three services, which do not interact."""
    schemas = ("public", "private_api")
    folder = tmp_path_factory.mktemp("planted")
    async with stack_at(folder, migrations=False, exposed_schemas=schemas, pace="fast") as running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
async def test_planted_differences_in_rest_are_reported(planted_stack: Stack) -> None:
    report = Report("PostgREST")
    await planted.in_postgrest(planted_stack, report)
    assert kinds(report) == {
        "insert many": "status",
        "insert many, ragged keys (columns=)": "body",
        "select eq": "content-range",
    }
    assert report.matching == report.in_scope - 3 == 5
    assert "insert many: status 201, recorded 202" in report.text()


@pytest.mark.asyncio(loop_scope="module")
async def test_planted_differences_in_storage_are_reported(planted_stack: Stack) -> None:
    report = Report("Storage")
    await planted.in_storage(planted_stack, report)
    assert kinds(report) == {
        "bucket.create jobs": "status",
        "bucket.create duplicate": "body",
        "bucket.get": "content-type",
    }
    assert report.matching == report.in_scope - 3 == 3


@pytest.mark.asyncio(loop_scope="module")
async def test_planted_differences_in_realtime_are_reported(planted_stack: Stack) -> None:
    report = Report("Realtime")
    await planted.in_realtime(planted_stack, report)
    assert [entry.label for entry in report.entries if entry.outcome == "match"] == [planted.CONVERSATION]
    assert [entry.label for entry in report.unexplained] == [
        f"frame {number} {spoiling}" for number, spoiling in planted.IN_REALTIME
    ]
    assert '"ids": [0]' in str(report.unexplained[3])
    # The only free order.
    assert await planted.spoiled(planted_stack, 2, "swapped with the next") == []


async def test_a_change_that_nobody_should_see_is_reported_though_it_comes_last(realtime_stack: Stack) -> None:
    realtime.prepare(realtime_stack)
    with psycopg.connect(realtime_stack.superuser_dsn, autocommit=True) as database:
        database.execute("create policy everyone on public.analysis_requests for select to anon using (true)")
    (line,) = await realtime.play(realtime_stack, "06b_rls_anon")
    assert "'postgres_changes'" in line
    assert line.endswith("before the end")


def kinds(report: Report) -> dict[str, str]:
    """Return the unexplained labels, each with the kind of its only difference."""
    return {entry.label: entry.lines[0].split()[0] for entry in report.unexplained if len(entry.lines) == 1}


KNOWN = Known("for a reason", {"status": 500, "body": "b"})


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        ([Difference("status", 500, 503), Difference("body", "b", "a")], []),
        (
            [Difference("status", 404, 503), Difference("body", "b", "a")],
            ["status 404, recorded 503, explained is 500"],
        ),
        (
            [Difference("status", 500, 503), Difference("body", "b", "a"), Difference("etag", "x", "y")],
            ["etag x, recorded y"],
        ),
        ([Difference("status", 500, 503)], ["body is as recorded, though it is explained: for a reason"]),
        ([], ["body is as recorded", "status is as recorded"]),
    ],
)
def test_a_reason_covers_the_differences_that_it_names_and_no_others(found: list[Difference], lines: list[str]) -> None:
    report = Report("Some")
    judge(report, "one", found, KNOWN)
    (entry,) = report.entries
    assert entry.outcome == ("unexplained" if lines else "explained")
    assert len(entry.lines) == len(lines or found)
    assert all(line.startswith(start) for line, start in zip(entry.lines, lines, strict=False))


@pytest.mark.parametrize("rule", FREE_ORDERS)
def test_a_free_order_was_recorded_both_ways_and_is_on_the_page(rule: FreeOrder) -> None:
    orders = set()
    for name in rule.recordings:
        frames = [frame["event"] for cue in cues(name) if cue.kind == "replies" for frame in cue.frames]
        orders.add(tuple(event for event in frames if event in rule.events))
    assert len(orders) == 2
    text = page.PAGE.read_text()
    assert all(f"`{event}`" in text for event in rule.events)
    assert all(f"`{name}`" in text for name in rule.recordings)


@pytest.mark.parametrize("header", COMPARED_HEADERS)
def test_the_page_names_every_compared_header(header: str) -> None:
    assert f"`{header}`" in page.PAGE.read_text()


def test_the_program_exits_with_1_for_a_difference(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.PLANTED.keys() == program.SERVICES.keys()
    assert program.main(["--plant", "--only", "Realtime"]) == 1
    assert "DIFFERS" in capsys.readouterr().out


def test_the_program_exits_with_2_for_an_option_that_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["--no-such-option"])
    assert ended.value.code == 2
    assert "DIFFERS" not in capsys.readouterr().out


def test_the_outcomes_are_counted_apart_and_in_order() -> None:
    report = Report("Some")
    report.compared("a", [])
    report.differ("b", ["status 1, recorded 2"], "for a reason")
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


def test_an_omission_without_a_reason_is_refused() -> None:
    report = Report("Some")
    with pytest.raises(ValueError, match="without a reason"):
        report.leave_out("b", "")


@pytest.mark.parametrize("service", [postgrest, storage, realtime], ids=lambda service: service.NAME)
def test_the_page_says_what_a_replay_should_find(service: Any) -> None:
    assert page.section(service.NAME) == service.expected().markdown(), (
        "docs/contract.md is out of date: python -m tests.contract --write"
    )


def test_the_page_has_a_list_of_every_service() -> None:
    assert {postgrest.NAME, storage.NAME, realtime.NAME} == program.SERVICES.keys()


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
