"""Changes of evidence by hand leave a trace; the queue's own, deletions with the request and retention leave none."""

from typing import Any

import psycopg
import pytest

from tests.integration.database.queue_client import RESULT, Queue, Row
from tests.integration.database.test_retention import age, keep


def audit(queue: Queue) -> list[Row]:
    return queue.sql("select * from sentinel.audit order by id")


@pytest.fixture
def traced(disposable: Queue) -> tuple[Queue, Row]:
    """A queue with one request that succeeded; nothing is in its audit."""
    claim = disposable.start()
    disposable.succeed(claim)
    assert audit(disposable) == []
    return disposable, claim


@pytest.mark.parametrize(
    ("change", "was", "becomes"),
    [
        ("verdict = 'real'", {"verdict": "fake"}, {"verdict": "real"}),
        ("fake_probability = 0", {"fake_probability": 0.93}, {"fake_probability": 0}),
        ("coverage = 1, detector = 'x'", {"coverage": 0.25, "detector": None}, {"coverage": 1, "detector": "x"}),
    ],
)
def test_an_edit_of_a_finished_request(
    traced: tuple[Queue, Row], change: str, was: dict[str, Any], becomes: dict[str, Any]
) -> None:
    queue, claim = traced
    queue.sql(f"update public.analysis_requests set {change}")  # noqa: S608
    (entry,) = audit(queue)
    assert {key: value for key, value in entry["was"].items() if key != "lane"} == was
    assert {key: value for key, value in entry["becomes"].items() if key != "lane"} == becomes
    shown = [entry[name] for name in ("change", "relation", "request_id", "session_role", "role", "jwt_sub")]
    assert shown == ["update", "public.analysis_requests", claim["id"], "postgres", "postgres", None]


@pytest.mark.parametrize("table", ["public.analysis_results", "sentinel.attempts"])
def test_an_edit_and_a_deletion_of_evidence(traced: tuple[Queue, Row], table: str) -> None:
    queue, claim = traced
    column, value = ("verdict", "real") if "results" in table else ("outcome", "failed")
    (before,) = queue.sql(f"select to_jsonb(t) as row from {table} t")  # noqa: S608
    queue.sql(f"update {table} set {column} = %s", value)  # noqa: S608
    queue.sql(f"update {table} set {column} = {column}")  # noqa: S608
    queue.sql(f"delete from {table}")  # noqa: S608
    edit, deletion = audit(queue)
    assert (edit["was"], edit["becomes"]) == ({column: before["row"][column]}, {column: value})
    assert (deletion["change"], deletion["was"]) == ("delete", before["row"] | {column: value})
    assert {entry["request_id"] for entry in (edit, deletion)} == {claim["id"]}
    queue.sql(f"truncate {table}")
    assert [(entry["change"], entry["relation"]) for entry in audit(queue)][2:] == [("truncate", table)]


def test_a_key_of_the_api_is_named(traced: tuple[Queue, Row]) -> None:
    queue, _ = traced
    with queue.as_user(role="service_role") as backend:
        backend.execute("update public.analysis_requests set verdict = 'real'")
    (entry,) = audit(queue)
    shown = [entry[name] for name in ("session_role", "role", "jwt_sub", "jwt_role")]
    assert shown == ["authenticator", "service_role", str(queue.user), "service_role"]


def test_what_the_queue_does_leaves_no_trace(traced: tuple[Queue, Row]) -> None:
    queue, claim = traced
    queue.sql("update public.analysis_requests set status = 'queued'")
    again = queue.claim()[0]
    queue.finish(again, "succeeded", result=RESULT | {"verdict": "real", "fake_probability": 0.1})
    queue.expire(queue.start())
    queue.sql("update public.analysis_requests set detector = 'x' where status = 'scheduled'")
    queue.sql("update public.analysis_requests set status = 'cancelled' where id = %s", claim["id"])
    age(queue)
    before = len(audit(queue))
    for name in ("keep_superseded_results_days", "keep_attempts_days", "keep_requests_days"):
        keep(queue, name, 30)
        queue.maintain()
    queue.insert()
    queue.sql("delete from public.analysis_requests")
    queue.sql("delete from auth.users")
    assert queue.sql("select from public.analysis_results") == []
    assert len(audit(queue)) == before
    assert [entry["relation"] for entry in audit(queue)] == ["sentinel.attempts"] * before, "the test aged the history"


@pytest.mark.parametrize("statement", ["update sentinel.audit set was = '{}'", "delete from sentinel.audit",
                                       "truncate sentinel.audit"])  # fmt: skip
def test_the_audit_is_only_added_to(refusing: Queue, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only added to") as refusal:
        refusing.connection.execute(statement.encode())
    assert refusal.value.diag.message_hint
