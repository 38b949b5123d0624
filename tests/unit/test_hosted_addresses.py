"""A hosted project's direct address has only IPv6: the error names the session pooler."""

import os
import subprocess
import sys

import psycopg
import pytest

from sentinel_worker.database.hosted_addresses import advice

DIRECT = "postgresql://postgres:secret@db.abcdefghijklmnopqrst.supabase.co:5432/postgres"
POOLER = "user postgres.abcdefghijklmnopqrst, host aws-0-REGION.pooler.supabase.com, port 5432"
WITHOUT_NETWORK = ["unshare", "--user", "--map-root-user", "--net"]


def test_migrate_names_the_session_pooler_where_there_is_no_ipv6() -> None:
    """The address is given, because the name of no project can be looked up here."""
    done = subprocess.run(
        [*WITHOUT_NETWORK, sys.executable, "-m", "sentinel_worker", "migrate"],
        env={**os.environ, "SENTINEL_DB_URL": f"{DIRECT}?hostaddr=2001:db8::1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert POOLER in done.stderr
    assert "has only IPv6 addresses" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    ("db_url", "error"),
    [
        (DIRECT, 'connection to server failed: FATAL:  password authentication failed for user "postgres"'),
        (DIRECT.replace("db.abcdefghijklmnopqrst.supabase.co", "localhost"), "Network is unreachable"),
        (DIRECT.replace("supabase.co:", "supabase.co.example.org:"), "Network is unreachable"),
        ("nonsense", "Network is unreachable"),
    ],
)
def test_other_errors_and_other_hosts_get_no_advice(db_url: str, error: str) -> None:
    assert advice(db_url, psycopg.OperationalError(error)) == ""


def test_a_name_that_cannot_be_resolved_without_ipv6_gets_it() -> None:
    error = psycopg.OperationalError("failed to resolve host 'db.x.supabase.co': [Errno -5] No address")
    assert POOLER in advice(DIRECT, error)
