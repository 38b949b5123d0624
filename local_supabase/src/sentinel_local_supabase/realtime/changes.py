"""postgres_changes: delivers row changes from PostgreSQL's log to the subscribers who may see them.

Like the real server, one loop polls a temporary logical slot and lets the database decide, for a whole batch,
what each role and set of claims may see. A subscription is announced ("Subscribed to PostgreSQL") once it has
been checked and the slot exists; changes committed after that are delivered. When the connection is lost,
nothing is replayed: the slot is created again and the subscriptions continue silently. When the tables of the
publication change, every subscription is checked and announced again.
"""

import asyncio
import contextlib
import json
import logging
import re
import secrets
import time
from typing import Final

import psycopg

from sentinel_local_supabase.database import Connection, fetch_all, fetch_one
from sentinel_local_supabase.queries import load_queries
from sentinel_local_supabase.realtime.batches import as_json, by_table
from sentinel_local_supabase.realtime.bindings import BadBinding, Binding, read_binding
from sentinel_local_supabase.realtime.connection_tokens import TokenClaims
from sentinel_local_supabase.realtime.pgoutput import Change, Decoder, Relation
from sentinel_local_supabase.realtime.rate_limit import RateLimit
from sentinel_local_supabase.realtime.settings import ChangesSettings
from sentinel_local_supabase.realtime.subscriptions import Subscription, TableSubscriptions

PUBLICATION: Final = "supabase_realtime"
SUBSCRIBED: Final = "Subscribed to PostgreSQL"
UNABLE: Final = "Unable to subscribe to changes with given parameters"
QUERIES: Final = load_queries("realtime/changes.sql")

log = logging.getLogger(__name__)


class Changes:
    """The subscriptions of one database, and the task that serves them.

    `run()` lasts until it is cancelled. It holds a connection and a slot only while there are subscriptions.
    """

    def __init__(self, dsn: str, settings: ChangesSettings) -> None:
        self._dsn = dsn
        self._settings = settings
        self._rate = RateLimit(settings.events_per_second)
        self._waiting: list[Subscription] = []
        self._live: list[Subscription] = []
        self._stir = asyncio.Event()

    def add(self, subscription: Subscription, *, instead_of: Subscription | None = None) -> None:
        """Schedule a subscription to be checked and announced; `instead_of` ends."""
        if instead_of is not None:
            self.remove(instead_of)
        self._waiting.append(subscription)
        self._stir.set()

    def remove(self, subscription: Subscription) -> None:
        """Stop delivering to a subscription; unknown ones are ignored."""
        for group in (self._waiting, self._live):
            if subscription in group:
                group.remove(subscription)

    async def run(self) -> None:
        """Serve subscriptions forever, across database outages."""
        away = False
        while True:
            while not (self._waiting or self._live):
                self._stir.clear()
                await self._stir.wait()
            try:
                async with await self._connect() as connection:
                    away = False
                    await self._serve(connection)
            except psycopg.Error as error:
                # Log one warning an outage.
                log.log(logging.DEBUG if away else logging.WARNING, "postgres_changes interrupted: %s", error)
                away = True
            except Exception:  # a change that cannot be handled must not end Realtime for everybody
                log.exception("postgres_changes interrupted")
            else:
                continue
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
        tables = await self._published(connection)
        look_again = time.monotonic() + self._settings.publication_check_seconds
        while self._waiting or self._live:
            self._stir.clear()
            if time.monotonic() >= look_again:
                look_again = time.monotonic() + self._settings.publication_check_seconds
                if (found := await self._published(connection)) != tables:
                    tables = found
                    self._waiting, self._live = self._live + self._waiting, []
            while self._waiting:
                await self._admit(connection, self._waiting[0])
            served = await self._poll(connection, slot)
            pause = self._settings.busy_poll_seconds if served else self._settings.idle_poll_seconds
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stir.wait()

    async def _published(self, connection: Connection) -> str:
        row = await fetch_one(connection, QUERIES["published"], [PUBLICATION])
        assert row is not None
        return str(row[0])

    async def _admit(self, connection: Connection, subscription: Subscription) -> None:
        ok, message = True, SUBSCRIBED
        try:
            subscription.bindings = tuple(read_binding(wish) for wish in subscription.wishes)
            for binding in subscription.bindings:
                await _check(connection, binding, subscription.claims)
        except BadBinding as error:
            ok, message = False, str(error)
        except (
            psycopg.DataError,
            UnicodeError,
        ) as error:  # text that PostgreSQL cannot store: only this subscription fails
            ok, message = False, f"{UNABLE}: {error}"
        if subscription not in self._waiting:  # it was removed meanwhile
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
        if not self._rate.exceeded():
            for relation, batch in by_table(changes):
                await self._dispatch(connection, relation, batch)
        return len(changes)

    async def _dispatch(self, connection: Connection, relation: Relation, changes: list[Change]) -> None:
        subscriptions = TableSubscriptions(self._live, relation)
        if not subscriptions:
            return
        arguments = [relation.oid, as_json(changes), subscriptions.as_json()]
        for members, event, refusal in await fetch_all(connection, QUERIES["apply"], arguments):
            if refusal is not None:
                await self._leave_out_misfits(connection, relation, changes, refusal)
                return
            for subscription, ids in subscriptions.receivers(members):
                if subscription in self._live:
                    self._rate.count(len(ids))
                    subscription.deliver(event, ids)

    async def _leave_out_misfits(
        self, connection: Connection, relation: Relation, changes: list[Change], refusal: str
    ) -> None:
        """Dispatch changes one by one and skip those that fit into no event (a NUL in a json column)."""
        if len(changes) == 1:
            log.warning("a change of %s.%s fits into no event: %s", relation.schema, relation.table, refusal)
            return
        for change in changes:
            await self._dispatch(connection, relation, [change])


async def _check(connection: Connection, binding: Binding, claims: TokenClaims) -> None:
    arguments = [
        PUBLICATION,
        binding.schema,
        binding.table,
        binding.filters_json(),
        json.dumps(binding.select),
        claims.role,
    ]
    row = await fetch_one(connection, QUERIES["check_binding"], arguments)
    assert row is not None
    matched, state, message = row
    if state is not None:
        raise BadBinding(
            f"{UNABLE}. An exception happened so please check your connect parameters: [{binding}]. "
            f"Exception: ERROR {state} ({_condition(state)}) {message}"
        )
    if not matched:
        raise BadBinding(f"{UNABLE}. Please check Realtime is enabled for the given connect parameters: [{binding}]")


def _condition(state: str) -> str:
    """Return the PostgreSQL name of an SQLSTATE, such as undefined_object."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", psycopg.errors.lookup(state).__name__).lower()
