"""Every refusal that a frontend or an admin can meet is a sentence with a hint, not the text of a constraint."""

import json
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.integration.database.queue_client import Queue

OURS = """
select c.relname as relation, k.conname as rule from pg_constraint k join pg_class c on c.oid = k.conrelid
 where k.contype = 'c' and (c.relnamespace = 'sentinel'::regnamespace
   or (c.relnamespace = 'public'::regnamespace and c.relname ~ '^(analysis|sentinel)_'))
"""
REQUESTS = "update public.analysis_requests set "
RESULTS = "update public.analysis_results set "
INSERT = "insert into public.analysis_requests (user_id, source_url{}) values (%(user)s, 'https://example.org/a'{})"
BROKEN = {
    ("analysis_requests", "media_kind_is_known"): REQUESTS + "media_kind = 'smell'",
    ("analysis_requests", "status_is_known"): REQUESTS + "status = 'done'",
    ("analysis_requests", "one_source"): REQUESTS + "source_url = 'https://example.org/a'",
    ("analysis_requests", "own_path"): REQUESTS + "storage_path = 'a.mp4'",
    ("analysis_requests", "source_url_is_http"): REQUESTS + "storage_path = null, source_url = 'ftp://example.org'",
    ("analysis_requests", "detector_is_a_name"): REQUESTS + "detector = 'My Model'",
    ("analysis_requests", "options_are_small"): INSERT.format(", options", ", '[]'"),
    ("analysis_requests", "priority_is_bounded"): REQUESTS + "priority = 101",
    ("analysis_requests", "times_are_readable"): INSERT.format(", run_at", ", 'infinity'"),
    ("analysis_requests", "attempts_are_bounded"): REQUESTS + "max_attempts = 0",
    ("analysis_requests", "stage_is_short"): REQUESTS + "stage = repeat('x', 65)",
    ("analysis_requests", "progress_is_percent"): REQUESTS + "progress = 101",
    ("analysis_requests", "verdict_is_known"): REQUESTS + "verdict = 'true'",
    ("analysis_requests", "verdict_is_success"): REQUESTS + "verdict = null, fake_probability = null, coverage = null,"
    " longest_gap_seconds = null",
    ("analysis_requests", "probability_is_of_a_verdict"): REQUESTS + "fake_probability = 2",
    ("analysis_requests", "coverage_is_of_a_verdict"): REQUESTS + "coverage = 2",
    ("analysis_requests", "error_is_failure"): REQUESTS + "error_code = 'x'",
    ("analysis_requests", "error_is_small"): REQUESTS + "error_message = repeat('x', 501)",
    ("analysis_requests", "dedupe_key_is_short"): REQUESTS + "dedupe_key = ''",
    ("analysis_requests", "original_name_is_short"): REQUESTS + "original_name = ''",
    ("analysis_requests", "finished_is_final"): REQUESTS + "finished_at = null",
    ("analysis_requests", "running_is_started"): INSERT.format(", status", ", 'queued'")
    + ";"
    + REQUESTS
    + "attempt = 0 where status = 'running'",
    ("analysis_requests", "cancel_is_asked_of_running"): REQUESTS + "cancel_requested = true where verdict is not null",
    ("analysis_results", "times_are_readable"): RESULTS + "created_at = '12026-01-01'",
    ("analysis_results", "verdict_is_known"): RESULTS + "verdict = 'true'",
    ("analysis_results", "verdict_reason_is_of_its_verdict"): RESULTS + "verdict_reason = 'silence'",
    ("analysis_results", "probabilities_are_such"): RESULTS + "threshold = 2",
    ("analysis_results", "coverage_is_measured"): RESULTS + "coverage = null",
    ("analysis_results", "current_is_not_superseded"): RESULTS + "is_current = false",
    ("analysis_results", "evidence_has_its_shape"): RESULTS + "media = '[]'",
    ("analysis_results", "notice_is_short"): RESULTS + "notice = repeat('x', 501)",
    ("paused", "one_pause"): "insert into sentinel.paused (lane, user_id) values ('video/default', %(user)s)",
    ("paused", "lane_is_one"): "insert into sentinel.paused (lane) values ('video')",
    ("attempts", "outcome_is_known"): "update sentinel.attempts set outcome = 'good'",
    ("leases", "times_are_finite"): "update sentinel.leases set lease_until = 'infinity'",
    ("unserved_lanes", "since_is_finite"): "insert into sentinel.unserved_lanes values ('video/x', 'infinity')",
    ("turns", "priorities_are_subscripts"): "insert into sentinel.turns (worker, after_user, ahead_after)"
    " values (gen_random_uuid(), gen_random_uuid(), '[0:0]={00000000-0000-0000-0000-000000000000}')",
    ("compute", "seconds_are_plausible"): "insert into sentinel.compute"
    " values (gen_random_uuid(), gen_random_uuid(), now(), -1, 0, 0)",
    ("throughput", "times_are_finite"): "insert into sentinel.throughput"
    " values ('video/default', gen_random_uuid(), 'infinity', 1, 1, now())",
    ("throughput", "sums_are_bounded"): "insert into sentinel.throughput"
    " values ('video/default', gen_random_uuid(), now(), -1, 1, now())",
    ("usage", "kind_is_known"): "insert into sentinel.usage (user_id, kind, amount) values (%(user)s, 'x', 1)",
}
"""A statement of an admin for each CHECK, on a request that succeeded and one that runs."""


@pytest.fixture(scope="module")
def answered(refusing: Queue) -> Queue:
    """The database of refusals with a running request beside the finished one."""
    refusing.start()
    return refusing


def test_every_check_is_broken_below(answered: Queue) -> None:
    assert {(row["relation"], row["rule"]) for row in answered.sql(OURS)} == BROKEN.keys()


@pytest.mark.parametrize(("relation", "rule"), BROKEN)
def test_a_broken_rule_is_a_sentence_with_a_hint(answered: Queue, relation: str, rule: str) -> None:
    statement = BROKEN[relation, rule].replace("%(user)s", f"'{answered.user}'")
    with pytest.raises(psycopg.errors.CheckViolation) as refusal:
        answered.connection.execute(statement.encode(), prepare=False)
    said = refusal.value.diag
    assert (said.constraint_name, said.table_name) == (rule, relation)
    assert json.loads(said.message_detail or "") == {"rule": rule}
    assert "violates" not in (said.message_primary or "violates")
    assert said.message_hint


def test_every_sentence_has_its_rule(answered: Queue) -> None:
    rules = {row["rule"] for row in answered.sql("select rule from sentinel.sentences")}
    assert rules == {rule for _, rule in BROKEN} | {"options_are_readable"}
    for row in answered.sql("select sentence, hint from sentinel.sentences"):
        assert row["sentence"].endswith(".")
        assert row["hint"].endswith(".")


def test_a_check_without_a_sentence_is_found_and_still_refuses(disposable: Queue) -> None:
    disposable.sql("alter table sentinel.usage add constraint amount_is_small check (amount < 100)")
    assert ("usage", "amount_is_small") in {(row["relation"], row["rule"]) for row in disposable.sql(OURS)}
    broken = "insert into sentinel.usage (user_id, kind, amount) values (gen_random_uuid(), 'request', 100)"
    with pytest.raises(psycopg.errors.CheckViolation, match="violates check constraint"):
        disposable.sql(broken)
    disposable.sql("select sentinel.explain_rules('sentinel.usage')")
    with pytest.raises(psycopg.errors.CheckViolation, match="violates check constraint"):
        disposable.sql(broken)
    disposable.sql("insert into sentinel.sentences values ('amount_is_small', 'amount must be below 100.', 'Less.')")
    with pytest.raises(psycopg.errors.CheckViolation, match=r"^amount must be below 100\."):
        disposable.sql(broken)


def test_an_admin_is_told_that_a_request_needs_an_owner(answered: Queue) -> None:
    with pytest.raises(psycopg.errors.NotNullViolation, match="needs a user_id") as refusal:
        answered.sql("insert into public.analysis_requests (source_url) values ('https://a')")
    assert (refusal.value.diag.column_name, bool(refusal.value.diag.message_hint)) == ("user_id", True)


@pytest.mark.parametrize("status", ["done", "pending", "QUEUED", ""])
def test_a_wrong_status_word_lists_the_right_ones(answered: Queue, status: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="queued, scheduled, running, succeeded, failed") as refusal:
        answered.sql("update public.analysis_requests set status = %s", status)
    assert "queued to run a request again" in (refusal.value.diag.message_hint or "")
    with pytest.raises(psycopg.errors.CheckViolation, match="only queued or scheduled"):
        answered.insert(status=status)


FORBIDDEN = {
    "insert into public.analysis_requests (source_url, priority) values ('https://a', 5)": "cannot set priority",
    "insert into public.analysis_requests (source_url, status, verdict) values ('https://a', 'succeeded', 'real')": (
        "cannot set status, verdict"
    ),
    "update public.analysis_requests set status = 'cancelled'": "cannot change analysis_requests",
    "update public.analysis_requests set status = 'cancelled' where false": "cannot change analysis_requests",
    "delete from public.analysis_requests": "cannot delete from analysis_requests",
    "insert into public.analysis_requests (id, source_url) values (gen_random_uuid(), 'https://a')"
    " on conflict (id) do update set source_url = excluded.source_url": "an upsert is a change",
    "update public.analysis_results set verdict = 'real'": "cannot write analysis_results",
    "delete from public.analysis_results": "cannot write analysis_results",
    "insert into public.analysis_results (verdict) values ('real')": "cannot write analysis_results",
}


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_a_user_is_told_what_to_do_instead(answered: Queue, statement: str) -> None:
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege, match=FORBIDDEN[statement]) as refusal,
        answered.as_user() as user,
    ):
        user.execute(statement.encode())
    assert refusal.value.diag.message_hint


def test_a_user_may_name_themselves_as_the_owner_and_nobody_else(queue: Queue) -> None:
    insert = "insert into public.analysis_requests (user_id, source_url) values (%s, 'https://a') returning user_id"
    with queue.as_user() as user:
        (row,) = user.execute(insert, (queue.user,)).fetchall()
        assert row["user_id"] == queue.user
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="id of the signed-in user"), queue.as_user() as user:
        user.execute(insert, (queue.another_worker().user,))


def test_the_default_of_a_column_may_be_named(queue: Queue) -> None:
    with queue.as_user() as user:
        user.execute(
            "insert into public.analysis_requests (source_url, status, priority, verdict, created_at)"
            " values ('https://a', 'queued', 0, null, now()), ('https://a', null, null, null, null)"
        )
    assert [row["status"] for row in queue.sql("select status from public.analysis_requests")] == ["queued", "queued"]


@pytest.mark.parametrize("name", ["a team: insert", "members: insert", "zeal"])
def test_a_policy_of_the_project_still_decides(disposable: Queue, name: str) -> None:
    """The policy that refuses with a sentence is the last alternative, whatever the others are called."""
    other = disposable.another_worker().user
    disposable.sql(f'create policy "{name}" on public.analysis_requests for insert to authenticated with check (true)')
    with disposable.as_user() as user:
        user.execute("insert into public.analysis_requests (user_id, source_url) values (%s, 'https://a')", (other,))


@pytest.mark.parametrize("trigger", ["analysis_requests_accept", "analysis_requests_refuse", "analysis_results_refuse"])
def test_without_the_triggers_the_policies_refuse(disposable: Queue, trigger: str) -> None:
    queue = disposable
    queue.succeed(queue.start())
    before = _state(queue)
    table = "analysis_results" if "results" in trigger else "analysis_requests"
    queue.sql(f"drop trigger {trigger} on public.{table}")
    for column, value in {"priority": 5, "max_attempts": 20, "created_at": "2000-01-01"}.items():
        with pytest.raises(psycopg.errors.InsufficientPrivilege), queue.as_user() as user:
            user.execute(
                f"insert into public.analysis_requests (source_url, {column}) values ('https://a', %s)",  # noqa: S608
                (value,),
            )
    if trigger.endswith("_refuse"):
        with queue.as_user() as user:
            user.execute(f"delete from public.{table}".encode())  # noqa: S608
            user.execute(f"update public.{table} set fake_probability = 0".encode())  # noqa: S608
    assert _state(queue) == before


def test_without_row_security_the_triggers_refuse(disposable: Queue) -> None:
    """Else whoever switches it off would let every user write what belongs to others."""
    queue = disposable
    queue.succeed(queue.start())
    before = _state(queue)
    for table in ("analysis_requests", "analysis_results"):
        queue.sql(f"alter table public.{table} disable row level security")
    for change in (
        "delete from public.analysis_requests",
        "update public.analysis_requests set priority = 5",
        "delete from public.analysis_results",
        "update public.analysis_results set fake_probability = 0",
        "insert into public.analysis_requests (source_url, priority) values ('https://a', 5)",
        "insert into public.analysis_requests (source_url, user_id) values ('https://a', gen_random_uuid())",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), queue.as_user() as user:
            user.execute(change.encode())
    assert _state(queue) == before


def _state(queue: Queue) -> list[dict[str, Any]]:
    rows = queue.sql("select to_jsonb(r) as row from public.analysis_requests r")
    return rows + queue.sql("select to_jsonb(r) as row from public.analysis_results r")


def test_a_user_without_an_id_inserts_nothing(refusing: Queue) -> None:
    insert = "insert into public.analysis_requests (user_id, source_url) values (%s, 'https://a')"
    with refusing.as_user() as user:
        user.execute("select set_config('request.jwt.claims', '{}', true)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="id of the signed-in user"):
            user.execute(insert, (uuid4(),))
