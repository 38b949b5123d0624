"""postgres_changes: row changes from PostgreSQL's log to the subscribers who may see them.

As the real server does, one loop polls a temporary logical slot and lets the database decide, for a whole
batch, what each role and set of claims may see. A subscription is announced ("Subscribed to
PostgreSQL") once it was checked and the slot stands; changes committed after that are delivered. When the
connection is lost nothing is replayed: the slot is made anew, and every subscription is checked and
announced again.
"""

import asyncio
import contextlib
import json
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from sentinel_worker.local.database import Connection, fetch_all, fetch_one
from sentinel_worker.local.queries import load_queries
from sentinel_worker.local.realtime.bindings import BadBinding, Binding, read_binding
from sentinel_worker.local.realtime.pgoutput import Change, Decoder, Relation, Row
from sentinel_worker.local.realtime.tokens import Claims

PUBLICATION: Final = "supabase_realtime"
LARGEST_RECORD_BYTES: Final = 1024 * 1024
ROWS_A_CALL: Final = 500
UNABLE: Final = "Unable to subscribe to changes with given parameters"
QUERIES: Final = load_queries("realtime/changes.sql")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChangesSettings:
    """Pace of the polling, in seconds; the defaults are the real server's."""

    busy_poll_seconds: float = 0.1
    idle_poll_seconds: float = 0.5
    reconnect_seconds: float = 0.5
    changes_a_poll: int = 1000


@dataclass(eq=False, slots=True)
class Subscription:
    """The wishes of one channel; `announce(ok, message)` and `deliver(event_json, ids)` never block."""

    wishes: Sequence[dict[str, Any]]
    claims: Claims
    announce: Callable[[bool, str], None]
    deliver: Callable[[str, list[int]], None]
    bindings: tuple[Binding, ...] = field(default=())


class Changes:
    """The subscriptions of one database, and the task that serves them.

    `run()` lasts until it is cancelled. It holds a connection and a slot only while somebody subscribes.
    """

    def __init__(self, dsn: str, settings: ChangesSettings) -> None:
        self._dsn = dsn
        self._settings = settings
        self._waiting: list[Subscription] = []
        self._live: list[Subscription] = []
        self._stir = asyncio.Event()

    def add(self, subscription: Subscription, *, instead_of: Subscription | None = None) -> None:
        """Check and announce a subscription soon; `instead_of` goes on until then."""
        if instead_of is not None:
            self.remove(instead_of)
        self._waiting.append(subscription)
        self._stir.set()

    def remove(self, subscription: Subscription) -> None:
        """Deliver nothing more to a subscription; unknown ones are fine."""
        for group in (self._waiting, self._live):
            if subscription in group:
                group.remove(subscription)

    async def run(self) -> None:
        """Serve subscriptions for ever, across losses of the database."""
        while True:
            while not self._waiting:
                self._stir.clear()
                await self._stir.wait()
            try:
                async with await self._connect() as connection:
                    await self._serve(connection)
            except psycopg.Error as error:
                # One line an outage: while it lasts nobody is live.
                log.log(logging.WARNING if self._live else logging.DEBUG, "postgres_changes interrupted: %s", error)
            except Exception:  # one change that cannot be handled must not end Realtime for everybody
                log.exception("postgres_changes interrupted")
            else:
                continue
            self._waiting, self._live = self._live + self._waiting, []
            await asyncio.sleep(self._settings.reconnect_seconds)

    async def _connect(self) -> Connection:
        return await psycopg.AsyncConnection.connect(
            self._dsn,
            autocommit=True,
            cursor_factory=psycopg.AsyncRawCursor,
            connect_timeout=5,
            options="-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c jit=off",
            application_name="realtime_changes",
        )

    async def _serve(self, connection: Connection) -> None:
        slot = f"supabase_realtime_replication_slot_{secrets.token_hex(4)}"
        await fetch_one(connection, QUERIES["create_slot"], [slot])
        while self._waiting or self._live:
            self._stir.clear()
            while self._waiting:
                await self._admit(connection, self._waiting[0])
            served = await self._poll(connection, slot)
            pause = self._settings.busy_poll_seconds if served else self._settings.idle_poll_seconds
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stir.wait()

    async def _admit(self, connection: Connection, subscription: Subscription) -> None:
        ok, message = True, "Subscribed to PostgreSQL"
        try:
            subscription.bindings = tuple(read_binding(wish) for wish in subscription.wishes)
            for binding in subscription.bindings:
                await _check(connection, binding, subscription.claims)
        except BadBinding as error:
            ok, message = False, str(error)
        if subscription not in self._waiting:  # it left meanwhile
            return
        self._waiting.remove(subscription)
        if ok:
            self._live.append(subscription)
        subscription.announce(ok, message)

    async def _poll(self, connection: Connection, slot: str) -> int:
        cursor = await connection.execute(
            QUERIES["poll"], [slot, self._settings.changes_a_poll, PUBLICATION], binary=True
        )
        decoder = Decoder()
        changes = [change for row in await cursor.fetchall() if (change := decoder.decode(row[0]))]
        for relation, group in _by_table(changes):
            await self._dispatch(connection, relation, group)
        return len(changes)

    async def _dispatch(self, connection: Connection, relation: Relation, changes: list[Change]) -> None:
        audience = _Audience(self._live, relation)
        if not audience.members:
            return
        rows = await fetch_all(
            connection,
            QUERIES["apply"],
            [relation.oid, json.dumps(_as_json(changes)), audience.as_json()],
        )
        for _, members, event in rows:
            for subscription, ids in audience.receivers(members):
                if subscription in self._live:
                    subscription.deliver(event, ids)


class _Audience:
    """Subscriptions that want a table, merged where role, claims, event and filters are the same."""

    def __init__(self, live: Iterable[Subscription], relation: Relation) -> None:
        self.members: dict[str, list[tuple[Subscription, int]]] = {}
        for subscription in live:
            for binding in subscription.bindings:
                if binding.matches(relation.schema, relation.table):
                    wish = json.dumps(
                        {
                            "role": subscription.claims.role,
                            "claims": subscription.claims.everything,
                            "event": binding.event,
                            "filters": [f.as_json() for f in binding.filters],
                        }
                    )
                    self.members.setdefault(wish, []).append((subscription, binding.id))
        self._lists = list(self.members.values())

    def as_json(self) -> str:
        return json.dumps([{"i": index} | json.loads(wish) for index, wish in enumerate(self.members)])

    def receivers(self, members: Iterable[int]) -> Iterable[tuple[Subscription, list[int]]]:
        ids: dict[Subscription, list[int]] = {}
        for member in members:
            for subscription, binding_id in self._lists[member]:
                ids.setdefault(subscription, []).append(binding_id)
        return ids.items()


async def _check(connection: Connection, binding: Binding, claims: Claims) -> None:
    filters = json.dumps([f.as_json() for f in binding.filters])
    arguments = [PUBLICATION, binding.schema, binding.table, filters, claims.role]
    try:
        row = await fetch_one(connection, QUERIES["check_binding"], arguments)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        condition = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
        raise BadBinding(
            f"{UNABLE}. An exception happened so please check your connect parameters: [{binding}]. "
            f"Exception: ERROR {error.sqlstate} ({condition}) {error.diag.message_primary}"
        ) from error
    if row is None or not row[0]:
        raise BadBinding(f"{UNABLE}. Please check Realtime is enabled for the given connect parameters: [{binding}]")


def _by_table(changes: Iterable[Change]) -> Iterable[tuple[Relation, list[Change]]]:
    """Runs of changes of one table, in the order of the log and at most ROWS_A_CALL long."""
    run: list[Change] = []
    for change in changes:
        if run and (run[0].relation is not change.relation or len(run) == ROWS_A_CALL):
            yield run[0].relation, run
            run = []
        run.append(change)
    if run:
        yield run[0].relation, run


def _as_json(changes: Sequence[Change]) -> list[dict[str, Any]]:
    def columns(change: Change, row: Row | None) -> dict[str, Any]:
        jsons = change.relation.json_columns
        return {
            name: json.loads(value) if value is not None and name in jsons else value
            for name, value in (row or {}).items()
        }

    return [
        {
            "i": index,
            "type": change.kind,
            "at": change.committed_at.strftime("%Y-%m-%dT%H:%M:%S.")
            + f"{change.committed_at.microsecond // 1000:03d}Z",
            "new": columns(change, change.new),
            "old": columns(change, change.old),
            "large": change.size_bytes > LARGEST_RECORD_BYTES,
        }
        for index, change in enumerate(changes)
    ]
