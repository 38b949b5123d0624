"""A login that asks as one identity, its answers, and the meaning of row counts."""

import json
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from tests.rights.universe import Table
from tests.rights.world import ADMIN, Identity

REFUSED = ("42501", "428C9")  # missing right; a generated column
# The statement passed rights and row security, and a rule of the table or function refused it.
PASSED = ("22", "23", "0A", "P0", "PT")


@dataclass(frozen=True, slots=True)
class Answer:
    """Number of rows that a statement reached, or the SQLSTATE and message of its refusal."""

    rows: int = 0
    value: Any = None
    state: str | None = None
    message: str = ""
    rule: str | None = None
    """Name of the broken rule (a constraint), if any."""

    @property
    def is_refused(self) -> bool:
        """True if rights or row security refused the statement."""
        return self.state in REFUSED

    @property
    def is_passed(self) -> bool:
        """True if it ran, at least up to a rule unrelated to rights."""
        return self.state is None or self.state.startswith(PASSED)


class Session:
    """One login that asks as one identity. `login` is authenticator's dsn, for the admin that of `postgres`."""

    def __init__(self, login: str, identity: Identity) -> None:
        self.identity = identity
        self._connection = psycopg.connect(login, autocommit=True)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def ask(self, statement: str | sql.Composed, *parameters: Any, **settings: str) -> Answer:
        """Run one statement, roll it back, and return the outcome."""
        try:
            with self._connection.transaction(force_rollback=True):
                for name, value in self._settings(settings).items():
                    self._connection.execute("select set_config(%s, %s, true)", [name, value])
                text = statement.encode() if isinstance(statement, str) else statement
                cursor = self._connection.execute(text, parameters or None)
                first = cursor.fetchone() if cursor.description else None
                return Answer(cursor.rowcount, first[0] if first else None)
        except psycopg.Error as error:
            if error.sqlstate is None:  # not the server's response
                raise
            return Answer(state=error.sqlstate, message=str(error).splitlines()[0], rule=error.diag.constraint_name)

    def _settings(self, more: dict[str, str]) -> dict[str, str]:
        settings = {name.replace("__", "."): value for name, value in more.items()}
        if self.identity is not ADMIN:
            settings |= {"request.jwt.claims": json.dumps(self.identity.claims), "role": self.identity.role}
        return settings


@dataclass(frozen=True, slots=True)
class Counts:
    """Row counts of a table, in total and by user."""

    total: int
    of_user: dict[str, int]


def count_rows(superuser: psycopg.Connection, table: Table) -> Counts:
    """Count rows with all rights."""
    if table.is_sequence:
        return Counts(0, {})
    owner = "user_id::text" if table.is_owned else "''"
    query = sql.SQL("select {}, count(*) from {} group by 1").format(sql.SQL(owner), relation(table.name))
    of_user: dict[str, int] = dict(superuser.execute(query).fetchall())
    return Counts(sum(of_user.values()), of_user)


def relation(name: str) -> sql.Identifier:
    """Return `schema.table` as an identifier."""
    return sql.Identifier(*name.split(".", 1))


def letter_of_rows(letter: str, rows: int, counts: Counts, identity: Identity) -> str | None:
    """Return the letter: upper case for all rows, lower case for the caller's own, empty for none, None otherwise."""
    if rows == counts.total:
        return letter
    if rows == 0:
        return ""
    return letter.lower() if rows == counts.of_user.get(identity.user or "") else None
