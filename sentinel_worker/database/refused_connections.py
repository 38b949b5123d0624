"""Database URLs and refusals of the database: which are mistakes of the operator, and which pass by themselves."""

import re
from typing import Final

import psycopg
from psycopg import conninfo

from sentinel_worker.observe import masking

_HIGHEST_PORT: Final = 65535
_PASSING_STATES: Final = re.compile("08...|40...|53...|55P03|57...|XX000")
"""Connections, rollbacks, resources, locks, shutdowns and cancellations; XX000 is a pooler's."""
# libpq gives no SQLSTATE for a connection that is refused, only the server's sentence.
_MISTAKES: Final = re.compile(
    "authentication failed|no password supplied|"
    "no pg_hba.conf entry|does not exist|is not permitted to log in|Tenant or user not found|"
    "does not support SSL|certificate verify failed|invalid (?:integer )?value|permission denied for database",
    re.IGNORECASE,
)


def check_url(db_url: str) -> None:
    """Raise ValueError, with a sentence that quotes no part of the password, if no server can be tried at `db_url`.

    The password is masked from here on.
    """
    try:
        found = conninfo.conninfo_to_dict(db_url)
    except psycopg.Error:
        found = {}
    masking.register(*(str(found[name]) for name in ("password", "sslpassword") if name in found))
    if not found and db_url.strip() not in ("postgresql://", "postgres://"):
        raise ValueError(
            "the database URL cannot be read: copy it from the project's page (Connect). It begins with postgresql://, "
            "and characters of the password such as @ : / % # are written as %40 %3A %2F %25 %23"
        )
    if "@" in str(found.get("host", "")):
        raise ValueError("the database URL has a second @: in the password, write it as %40")
    for port in str(found.get("port", "")).split(","):
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) <= _HIGHEST_PORT):
            raise ValueError(f"the database URL names the port {port[:20]!r}: ports are numbers from 1 to 65535")


def passing(error: psycopg.Error) -> bool:
    """True if the same call may succeed later, without a change by anybody."""
    if error.sqlstate is not None:
        return _PASSING_STATES.fullmatch(error.sqlstate) is not None
    if not isinstance(error, psycopg.OperationalError):
        return False
    asked_for_password = error.pgconn is not None and error.pgconn.needs_password
    return not (asked_for_password or _MISTAKES.search(str(error)))
