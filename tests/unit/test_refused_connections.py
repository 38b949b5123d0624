"""Database URLs that no server can be tried at, and what their sentences leave out."""

from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from sentinel_worker.database.refused_connections import check_url, passing
from sentinel_worker.observe.masking import mask


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://user:PASSWORD@example.org/x", "It begins with postgresql://"),
        ("PASSWORD", "It begins with postgresql://"),
        ("", "It begins with postgresql://"),
        ("postgresql://user:PASSWORD@[::1/x", "It begins with postgresql://"),
        ("postgresql://user:PASSWORD%zz@host/x", "It begins with postgresql://"),
        ("postgresql://user:pass@PASSWORD@host/x", "second @"),
        ("postgresql://user:PASSWORD@host:99999/x", "ports are numbers from 1 to 65535"),
        ("postgresql://user:PASSWORD@host:0/x", "ports are numbers from 1 to 65535"),
        ("postgresql://user:PASSWORD@host:abc/x", "ports are numbers from 1 to 65535"),
        ("postgresql://user:PASSWORD/word@host/x", "written as %2F"),
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
    "url",
    [
        "postgresql://postgres:postgres@host:5432/postgres",
        "postgresql://postgres:database@host/postgres",
        "postgresql://db_owner_7:db_owner@host/postgres",
        "host=host user=postgres password='20261130'",
    ],
)
def test_a_password_that_is_an_ordinary_word_is_masked_only_as_a_password(url: str) -> None:
    check_url(url)
    sentence = 'the database has 20261130_queue.sql; password authentication failed for "postgres" or "db_owner_7"'
    assert mask(sentence) == sentence
    password = str(conninfo_to_dict(url)["password"])
    written = [f"://u:{password}@h", f"password={password}", f"password = '{password}'", repr({"password": password})]
    assert [text for text in written if password in mask(text)] == []


@pytest.mark.parametrize("password", ["Canary-pw-0815", "correcthorsebattery", "caf\u00e9-canary", "0815canary"])
def test_any_other_password_is_masked_wherever_it_stands(password: str) -> None:
    check_url(f"postgresql://postgres:{quote(password)}@host:5432/postgres")
    assert mask(f'a library said "{password}"') == 'a library said "***"'


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
