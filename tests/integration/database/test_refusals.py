"""Writes that a frontend is refused, in every form."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.integration.database.queue_client import Queue

INSERT = "insert into public.analysis_requests (storage_path) values (%s)"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "running"),
        ("verdict", "real"),
        ("fake_probability", 0.1),
        ("coverage", 1.0),
        ("longest_gap_seconds", 0.0),
        ("priority", 100),
        ("attempt", 1),
        ("max_attempts", 20),
        ("user_id", uuid4()),
        ("fence", uuid4()),
        ("progress", 1),
        ("crashes", 1),
        ("created_at", "1970-01-01"),
        ("finished_at", "1970-01-01"),
        ("cancel_requested", True),
        ("error_code", "x"),
    ],
)
def test_a_user_cannot_set_a_column_that_is_not_an_input(refusing: Queue, column: str, value: Any) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), refusing.as_user() as user:
        user.execute(
            f"insert into public.analysis_requests (storage_path, {column}) values (%s, %s)",  # noqa: S608
            (f"{refusing.user}/a.mp4", value),
        )


@pytest.mark.parametrize(
    "statement",
    [
        "update public.analysis_requests set status = 'queued'",
        "update public.analysis_requests set options = '{}'",
        "delete from public.analysis_requests",
        "insert into public.analysis_results (request_id) values (gen_random_uuid())",
        "update public.analysis_results set verdict = 'real'",
        "delete from public.analysis_results",
        "select * from sentinel.leases",
        "select sentinel.sweep()",
        "select * from public.sentinel_claim('{}')",
        "select * from public.sentinel_heartbeat('{}')",
        "select * from public.sentinel_progress('{}')",
        "select * from public.sentinel_finish('{}')",
        "select * from public.sentinel_maintain('{}')",
    ],
)
@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_a_frontend_has_no_other_rights(refusing: Queue, statement: str, role: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), refusing.as_user(role=role) as user:
        user.execute(statement)


@pytest.mark.parametrize("statement", ["select * from public.analysis_requests", "select public.cancel_analysis(null)"])
def test_nobody_is_let_in_without_a_session(refusing: Queue, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), refusing.as_user(role="anon") as user:
        user.execute(statement)


OTHER = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a.mp4",
        "{me}",
        "{me}/",
        "/{me}/a.mp4",
        "{me}//a.mp4",
        "{me}/./a.mp4",
        "{me}/../{other}/b.mp4",
        "{me}/a/..",
        "{me}/..",
        "{me}/a/",
        "{me}/%2e%2e/{other}/b.mp4",
        "{me}/..%2f{other}/b.mp4",
        "{me}/..\\{other}\\b.mp4",
        "{me}/a\n.mp4",
        "{me}/a.mp4\n",
        "{me}/a\t.mp4",
        "{me}/a?b.mp4",
        "{me}/a#b.mp4",
        "{me}/ü.mp4",
        "{me}/a\u202e.mp4",
        "{me}x/a.mp4",
        "{ME}/a.mp4",
        "{other}/b.mp4",
        "media/{me}/a.mp4",
        "{me}/" + "a" * 1024,
    ],
)
def test_a_storage_path_outside_the_users_folder_is_refused(refusing: Queue, path: str) -> None:
    hostile = (
        path.replace("{me}", str(refusing.user)).replace("{ME}", str(refusing.user).upper()).replace("{other}", OTHER)
    )
    with pytest.raises(psycopg.errors.CheckViolation), refusing.as_user() as user:
        user.execute(INSERT, (hostile,))


@pytest.mark.parametrize(
    "url", ["", "ftp://example.org/a", "file:///etc/passwd", "https://", "https://a b", "http://a\nb", "javascript:x"]
)
def test_a_source_url_is_http(refusing: Queue, url: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation), refusing.as_user() as user:
        user.execute("insert into public.analysis_requests (source_url) values (%s)", (url,))


@pytest.mark.parametrize("columns", ["(storage_path, source_url) values (%s, 'https://a')", "(detector) values ('x')"])
def test_a_request_has_exactly_one_source(refusing: Queue, columns: str) -> None:
    params = (f"{refusing.user}/a.mp4",) if "%s" in columns else ()
    with pytest.raises(psycopg.errors.CheckViolation), refusing.as_user() as user:
        user.execute(f"insert into public.analysis_requests {columns}", params)
