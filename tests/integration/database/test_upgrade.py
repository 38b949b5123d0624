"""A queue in use survives an upgrade of its schema: nothing lost or done twice, every fence consistent."""

import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sentinel_local_supabase.postgres import Postgres
from tests.integration.database.upgrade import LATER, Upgrade, upgrade_under_traffic

_numbers = count(1)


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Callable[[Upgrade], None]:
    """Print an upgrade's figures past pytest's capture."""

    def tell(upgrade: Upgrade) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{request.node.name}: {upgrade.words()}\n")

    return tell


@pytest.mark.parametrize("report", [False, True], ids=["nobody_in_its_way", "behind_a_reader"])
def test_requests_in_flight_survive_it(
    any_server: Postgres, tmp_path: Path, tell: Callable[[Upgrade], None], report: bool
) -> None:
    upgrade = upgrade_under_traffic(any_server, f"upgraded_{next(_numbers)}", tmp_path, report=report)
    tell(upgrade)
    check(upgrade)


def test_requests_survive_an_upgrade_whose_policies_lock_the_platforms_tables(
    own_server: Postgres, tmp_path: Path, tell: Callable[[Upgrade], None]
) -> None:
    upgrade = upgrade_under_traffic(own_server, "upgraded", tmp_path, as_hosted=True, report=True)
    tell(upgrade)
    check(upgrade)


def check(upgrade: Upgrade) -> None:
    """Check the invariants when everything is final."""
    assert upgrade.applied == [migration.version for migration in LATER]
    assert upgrade.in_flight["running"] > 0
    with psycopg.connect(upgrade.dsn) as connection:

        def rows(query: str) -> list[tuple[Any, ...]]:
            return connection.execute(query.encode()).fetchall()

        check_requests(upgrade, rows("select id, status, fence from public.analysis_requests"))
        attempts = rows("select request_id, fence, outcome, answer from sentinel.attempts")
        check_attempts(upgrade, attempts)
        results = rows("select request_id, fence, is_current, notice from public.analysis_results")
        check_results(upgrade, results)
        assert rows("select 1 from sentinel.leases") == []
        wrong = rows(
            "select r.id from public.analysis_requests r left join public.analysis_results e"
            " on e.request_id = r.id and e.is_current where (r.status = 'succeeded') <> (e.id is not null)"
        )
        assert wrong == [], "a success without its result, or a current result of something else"
        old = {fence for _, fence, _, _ in attempts}
        assert old.isdisjoint(fence for (fence,) in rows("select fence from public.analysis_requests"))


def check_requests(upgrade: Upgrade, requests: list[tuple[Any, ...]]) -> None:
    inserted = upgrade.seen.inserted
    assert len(inserted) == len(set(inserted))
    assert {request for request, _, _ in requests} == set(inserted)
    assert {status for _, status, _ in requests} <= {"succeeded", "failed", "cancelled"}
    assert len({fence for _, _, fence in requests}) == len(requests)


def check_attempts(upgrade: Upgrade, attempts: list[tuple[Any, ...]]) -> None:
    """Check that each claim ended exactly once, in the way that its worker was told."""
    seen = upgrade.seen
    ended = {fence: (outcome, answer) for _, fence, outcome, answer in attempts}
    assert len(ended) == len(attempts)
    assert set(ended) == seen.claimed == set(seen.answers)
    for fence, (outcome, answer) in ended.items():
        assert outcome != "lease_expired"
        assert seen.answers[fence] == ("lost" if outcome == "moved_by_hand" else answer)
    assert {"succeeded", "failed", "queued", "lost"} <= set(seen.answers.values())


def check_results(upgrade: Upgrade, results: list[tuple[Any, ...]]) -> None:
    """Check that each success that a worker was told of has a result, with that worker's data."""
    successes = {fence for fence, answer in upgrade.seen.answers.items() if answer == "succeeded"}
    assert {fence for _, fence, _, _ in results} == successes
    assert len(results) == len(successes)
    assert all(notice == str(fence) for _, fence, _, notice in results)
    current = [request for request, _, is_current, _ in results if is_current]
    assert len(current) == len(set(current))
