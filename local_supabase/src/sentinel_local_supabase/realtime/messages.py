"""Broadcasts from the database: rows of realtime.messages, streamed from PostgreSQL's log.

Like the real server, it reads them from a replication connection, milliseconds after the commit and without
a trigger in the database. psycopg has no replication cursor, but its libpq wrapper covers the small part of
the protocol needed here.

It runs in its own thread: on shutdown PostgreSQL waits until every replication client has acknowledged the
end of the log, even while the event loop is busy stopping it.

PostgreSQL 18's sender can miss a commit between its check of the log and its sleep (observed: messages ten
seconds late, until our next status). So we send a status soon after each message, and four times a second
when idle.
"""

import logging
import os
import select
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import psycopg
from psycopg import pq

from sentinel_local_supabase.realtime.pgoutput import Decoder, Row

PUBLICATION: Final = "supabase_realtime_messages_publication"
FIRST_POKE_SECONDS: Final = 0.01
SLOWEST_POKE_SECONDS: Final = 0.25
HOUSEKEEPING_SECONDS: Final = 3600.0
RECONNECT_SECONDS: Final = 0.5
EPOCH_OFFSET_SECONDS: Final = 946_684_800
KEEPALIVE, DATA = b"k"[0], b"w"[0]
DATA_HEADER_BYTES: Final = 25

log = logging.getLogger(__name__)


class MessageStream:
    """Calls `on_row`, `on_ready` and `on_lost`, from its own thread, while it runs.

    `on_row` gets each inserted row as a dict of texts; `on_ready` is called whenever a stream has started, `on_lost`
    when it has ended.
    """

    def __init__(
        self, dsn: str, on_row: Callable[[Row], None], on_ready: Callable[[], None], on_lost: Callable[[], None]
    ) -> None:
        self._dsn = dsn
        self._on_row = on_row
        self._on_ready = on_ready
        self._on_lost = on_lost
        self._stopping = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name="realtime-messages", daemon=True)

    def start(self) -> None:
        """Start streaming, and continue across database restarts."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the stream and wait for the thread."""
        self._stopping.set()
        os.write(self._wake_write, b"x")
        self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._stream()
            except psycopg.Error as error:
                log.info("the stream of realtime.messages ended: %s", error)
                self._on_lost()
                self._stopping.wait(RECONNECT_SECONDS)

    def _keep_partitions(self) -> None:
        # Every realtime.send writes to this table, so do not queue for its lock: partitions are made days ahead.
        options = "-c lock_timeout=1s"
        try:
            with psycopg.connect(self._dsn, autocommit=True, connect_timeout=5, options=options) as connection:
                connection.execute("select realtime.keep_partitions()")
        except psycopg.Error as error:
            log.warning("the partitions of realtime.messages were not renewed: %s", error)

    def _stream(self) -> None:
        """Stream until the connection is lost or `stop` is called."""
        conninfo = psycopg.conninfo.make_conninfo(
            self._dsn, replication="database", connect_timeout=5, application_name="realtime_messages"
        )
        connection = pq.PGconn.connect(conninfo.encode())
        try:
            if connection.status != pq.ConnStatus.OK:
                raise psycopg.OperationalError(connection.get_error_message())
            slot = f"supabase_realtime_messages_slot_{os.getpid()}_{time.monotonic_ns() % 10**9}"
            create = f"CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput"
            _expect(connection, create, pq.ExecStatus.TUPLES_OK)
            options = f"proto_version '1', publication_names '{PUBLICATION}'"
            start = f"START_REPLICATION SLOT {slot} LOGICAL 0/0 ({options})"
            _expect(connection, start, pq.ExecStatus.COPY_BOTH)
            connection.nonblocking = 1
            self._keep_partitions()
            self._on_ready()
            self._receive(connection)
        finally:
            connection.finish()

    def _receive(self, connection: pq.abc.PGconn) -> None:
        decoder = Decoder()
        due = time.monotonic() + HOUSEKEEPING_SECONDS
        seen = 0
        pause = FIRST_POKE_SECONDS
        while not self._stopping.is_set():
            if time.monotonic() > due:
                self._keep_partitions()
                due = time.monotonic() + HOUSEKEEPING_SECONDS
            wants_answer = False
            for message in _buffered(connection):
                if message[0] == DATA:
                    pause = FIRST_POKE_SECONDS
                    seen = max(seen, struct.unpack_from(">Q", message, 1)[0])
                    change = decoder.decode(message[DATA_HEADER_BYTES:])
                    if change is not None and change.kind == "INSERT" and change.new is not None:
                        self._on_row(change.new)
                elif message[0] == KEEPALIVE:
                    end, _, wanted = struct.unpack_from(">QQB", message, 1)
                    seen = max(seen, end)
                    wants_answer = wants_answer or bool(wanted)
            if wants_answer:
                _acknowledge(connection, seen)
            readable, _, _ = select.select([connection.socket, self._wake_read], [], [], pause)
            if connection.socket in readable:
                connection.consume_input()
            elif not readable:
                _acknowledge(connection, seen)
                pause = min(2 * pause, SLOWEST_POKE_SECONDS)


def _buffered(connection: pq.abc.PGconn) -> Iterator[bytes]:
    """Yield the messages that have arrived. Raises OperationalError at the end of the stream."""
    while True:
        size, data = connection.get_copy_data(1)
        if size == 0:
            return
        if size < 0:
            raise psycopg.OperationalError("the replication stream ended")
        yield bytes(data)


def _expect(connection: pq.abc.PGconn, command: str, status: pq.ExecStatus) -> None:
    result = connection.exec_(command.encode())
    if result.status != status:
        raise psycopg.OperationalError(result.error_message.decode(errors="replace"))


def _acknowledge(connection: pq.abc.PGconn, position: int) -> None:
    """Acknowledge everything up to `position`, so that the server may discard it."""
    microseconds = int((time.time() - EPOCH_OFFSET_SECONDS) * 1_000_000)
    connection.put_copy_data(struct.pack(">cQQQQB", b"r", position, position, position, microseconds, 0))
    connection.flush()
