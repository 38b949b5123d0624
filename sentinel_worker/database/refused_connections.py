"""Database URLs and refusals of the database: which are mistakes of the operator, and which pass by themselves."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import psycopg
from psycopg import conninfo

from sentinel_worker.observe import masking

_HIGHEST_PORT: Final = 65535
_PASSWORDS: Final = ("password", "sslpassword")
_LONGEST_WORD: Final = 15
"""Characters of the longest word that an error may contain."""
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

    The password is masked from here on, an ordinary word only where its form tells that it is a password.
    """
    try:
        found = conninfo.conninfo_to_dict(db_url)
    except psycopg.Error:
        found = {}
    masking.register(*_unmistakable(found))
    if not found and db_url.strip() not in ("postgresql://", "postgres://"):
        raise ValueError(
            "the database URL cannot be read: copy it from the project's page (Connect). It begins with postgresql://, "
            "and characters of the password such as @ : / % # are written as %40 %3A %2F %25 %23"
        )
    if "@" in str(found.get("host", "")):
        raise ValueError("the database URL has a second @: in the password, write it as %40")
    for port in str(found.get("port", "")).split(","):
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) <= _HIGHEST_PORT):
            # Not quoted: after a password with a / in it, libpq takes what stands before the / for the port.
            raise ValueError(
                "the database URL has an invalid port: ports are numbers from 1 to 65535. A / in the password is "
                "written as %2F"
            )


def _unmistakable(found: Mapping[str, object]) -> Iterator[str]:
    """Yield the passwords that no other text contains by chance.

    Were `postgres` masked wherever it stands, an error could not name the user or the database of that name. No error
    of libpq or the server quotes a password, and `masking` knows the places of one in URLs and connection strings.
    """
    others = [str(value) for name, value in found.items() if name not in _PASSWORDS]
    for password in (str(found[name]) for name in _PASSWORDS if name in found):
        word = len(password) <= _LONGEST_WORD and (password.isalpha() or password.isdigit())
        if not word and not any(password in other for other in others):
            yield password


def passing(error: psycopg.Error) -> bool:
    """True if the same call may succeed later, without a change by anybody."""
    if error.sqlstate is not None:
        return _PASSING_STATES.fullmatch(error.sqlstate) is not None
    if not isinstance(error, psycopg.OperationalError):
        return False
    asked_for_password = error.pgconn is not None and error.pgconn.needs_password
    return not (asked_for_password or _MISTAKES.search(str(error)))
