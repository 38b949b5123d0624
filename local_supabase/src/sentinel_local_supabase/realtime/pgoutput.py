"""Decoder for messages of PostgreSQL's output plugin pgoutput, protocol version 1.

Values arrive as PostgreSQL's text; json columns are listed separately, because they enter events unquoted.
https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
JSON_TYPES: Final = frozenset({114, 3802})

Kind = Literal["INSERT", "UPDATE", "DELETE"]
Row = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as the log describes it; `json_columns` have type json or jsonb."""

    oid: int
    schema: str
    table: str
    columns: tuple[str, ...]
    json_columns: frozenset[str]
    key_columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class Change:
    """One row change. Unchanged TOASTed columns are absent from `new`; `old` has the columns that the log has."""

    relation: Relation
    kind: Kind
    committed_at: datetime
    new: Row | None
    old: Row | None

    @property
    def size_bytes(self) -> int:
        """Total bytes of all values, to which the 1 MiB limit applies."""
        rows = [row for row in (self.new, self.old) if row]
        return sum(len(value.encode()) for row in rows for value in row.values() if value is not None)


class Decoder:
    """Decodes messages; keeps the tables and the current transaction of earlier ones."""

    def __init__(self) -> None:
        self._relations: dict[int, Relation] = {}
        self._committed_at = POSTGRES_EPOCH

    def decode(self, message: bytes | memoryview) -> Change | None:
        """Return the change in a message, or None for other messages."""
        cursor = _Cursor(bytes(message))
        match cursor.char():
            case "B":
                cursor.skip(8)
                self._committed_at = POSTGRES_EPOCH + timedelta(microseconds=cursor.integer(">q"))
            case "R":
                relation = _relation(cursor)
                self._relations[relation.oid] = relation
            case "I":
                return self._change(cursor, "INSERT")
            case "U":
                return self._change(cursor, "UPDATE")
            case "D":
                return self._change(cursor, "DELETE")
            case _:
                pass
        return None

    def _change(self, cursor: "_Cursor", kind: Kind) -> Change:
        relation = self._relations[cursor.integer(">I")]
        new: Row | None = None
        old: Row | None = None
        whole: Row | None = None
        for marker, row in cursor.tuples(relation.columns):
            if marker == "N":
                new = row
            elif marker == "K":
                old = {name: value for name, value in row.items() if name in relation.key_columns}
            else:
                old = whole = row
        if new is not None and whole is not None:
            new = whole | new  # the full old row has the unchanged TOASTed columns
        return Change(relation, kind, self._committed_at, new, old)


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def skip(self, count: int) -> None:
        self._at += count

    def char(self) -> str:
        self._at += 1
        return chr(self._data[self._at - 1])

    def integer(self, form: str) -> int:
        value: int = struct.unpack_from(form, self._data, self._at)[0]
        self._at += struct.calcsize(form)
        return value

    def string(self) -> str:
        end = self._data.index(0, self._at)
        value = self._data[self._at : end].decode()
        self._at = end + 1
        return value

    def text(self) -> str:
        length = self.integer(">i")
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def tuples(self, columns: tuple[str, ...]) -> Iterator[tuple[str, Row]]:
        while self._at < len(self._data):
            marker = self.char()
            count = self.integer(">h")
            row: Row = {}
            for name in columns[:count]:
                match self.char():
                    case "n":
                        row[name] = None
                    case "t":
                        row[name] = self.text()
                    case _:
                        pass
            yield marker, row


def _relation(cursor: _Cursor) -> Relation:
    oid = cursor.integer(">I")
    schema, table = cursor.string() or "pg_catalog", cursor.string()
    cursor.skip(1)
    names, jsons, keys = [], set(), set()
    for _ in range(cursor.integer(">h")):
        is_key = cursor.integer(">b")
        name = cursor.string()
        names.append(name)
        if cursor.integer(">I") in JSON_TYPES:
            jsons.add(name)
        cursor.skip(4)
        if is_key:
            keys.add(name)
    return Relation(oid, schema, table, tuple(names), frozenset(jsons), frozenset(keys))
