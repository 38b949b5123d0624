"""Database URLs that no server can be tried at, and what their sentences leave out."""

import psycopg
import pytest

from sentinel_worker.database.refused_connections import check_url, passing


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://user:PASSWORD@example.org/x", "It begins with postgresql://"),
        ("PASSWORD", "It begins with postgresql://"),
        ("", "It begins with postgresql://"),
        ("postgresql://user:PASSWORD@[::1/x", "It begins with postgresql://"),
        ("postgresql://user:PASSWORD%zz@host/x", "It begins with postgresql://"),
        ("postgresql://user:pass@PASSWORD@host/x", "second @"),
        ("postgresql://user:PASSWORD@host:99999/x", "99999"),
        ("postgresql://user:PASSWORD@host:0/x", "'0'"),
        ("postgresql://user:PASSWORD@host:abc/x", "abc"),
    ],
)
def test_a_url_that_cannot_be_tried_is_refused_and_not_quoted(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        check_url(url)
    assert "PASSWORD" not in str(refused.value)


@pytest.mark.parametrize("url", ["postgresql://", "postgresql://a@h/x", "host=/run dbname=x", "postgres://a:b@h1,h2/x"])
def test_other_urls_are_left_to_the_driver(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (psycopg.OperationalError("connection failed: Connection refused"), True),
        (psycopg.OperationalError("FATAL:  the database system is starting up"), True),
        (psycopg.OperationalError("FATAL:  sorry, too many clients already"), True),
        (psycopg.OperationalError("server closed the connection unexpectedly"), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.DiskFull(), True),
        (psycopg.errors.LockNotAvailable(), True),
        (psycopg.errors.DeadlockDetected(), True),
        (psycopg.errors.InsufficientPrivilege(), False),
        (psycopg.errors.SyntaxError(), False),
        (psycopg.OperationalError('FATAL:  password authentication failed for user "x"'), False),
        (psycopg.OperationalError('FATAL:  database "x" does not exist'), False),
        (psycopg.OperationalError("FATAL:  Tenant or user not found"), False),
        (psycopg.ProgrammingError("invalid connection option"), False),
    ],
)
def test_which_refusals_pass(error: psycopg.Error, passes: bool) -> None:
    assert passing(error) is passes
