"""The policy that lets workers hear broadcast wake-ups, for a database that was migrated before Realtime ever ran.

Realtime creates `realtime.messages` when it first serves the project, and no policy can be made on it before that. The
policy is defined in the migrations; here their statement is run once more.
"""

from collections.abc import Iterable
from importlib.resources import files
from typing import Final

import psycopg

NAME: Final = "sentinel: worker hears wake-ups"
ADDED: Final = f'added the policy "{NAME}" on realtime.messages, which Realtime has created meanwhile'
NOT_YET: Final = (
    f'missing: the policy "{NAME}", because realtime.messages does not exist before Realtime has run. Until then '
    "workers with the role sentinel_worker receive row changes, but no broadcast wake-ups. Run this command again once "
    "a worker or a frontend has connected to Realtime"
)
REFUSED: Final = (
    f'missing: the policy "{NAME}", because this role may not create policies on realtime.messages. Run this command '
    "as the project's owner, or give the workers a service key"
)


def add(connection: psycopg.Connection, statements: Iterable[str], lock_timeout: str) -> str | None:
    """Add the policy if it is missing and can be made; return a line for people, None if it was there.

    `statements` are those of the migrations. Raises `psycopg.errors.LockNotAvailable` if the table is busy.
    """
    possible, there = _state(connection)
    if there or not possible:
        return None if there else NOT_YET
    (statement,) = (text for text in statements if f'create policy "{NAME}"' in text)
    with connection.transaction():
        connection.execute("select set_config('lock_timeout', %s, true)", (lock_timeout,))
        connection.execute(statement.encode())
    return ADDED if _state(connection)[1] else REFUSED


def _state(connection: psycopg.Connection) -> tuple[bool, bool]:
    query = files("sentinel_worker.database").joinpath("wake_policy.sql").read_bytes()
    possible, there = connection.execute(query).fetchall()[0]
    return possible, there
