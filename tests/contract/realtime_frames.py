"""Recorded frames of Realtime: reading them, and repeating the changes they report."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import sql

from tests.contract.replay import RECORDINGS

Frame = dict[str, Any]
FOLDER = RECORDINGS / "realtime"
_THIN_BYTES = re.compile(r"payload column of (\d+) bytes")


@dataclass(frozen=True, slots=True)
class Cue:
    """One step of a recording: a note, a send, a run of replies, a run of row changes, or a cut."""

    kind: Literal["note", "send", "replies", "changes", "cut"]
    client: str = ""
    note: str = ""
    frames: tuple[Frame, ...] = ()


def names() -> list[str]:
    """Return all recordings: those of 2.128.3, then those only of 2.102.1, as `2.102.1/…`."""
    return [str(path.relative_to(FOLDER).with_suffix("")) for path in _newest_first(FOLDER.rglob("*.jsonl"))]


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: (path.parent != FOLDER, path.name))


def cues(name: str) -> Iterator[Cue]:
    """Yield the steps of a recording, with runs of replies and of changes grouped."""
    lines = [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()]
    for (kind, client), group in groupby(lines, lambda line: (_kind(line), line.get("client", ""))):
        run = list(group)
        if kind in ("replies", "changes"):
            yield Cue(kind, client, frames=tuple(as_object(line["frame"]) for line in run))
        for line in run if kind not in ("replies", "changes") else ():
            if kind == "send":
                yield Cue("send", client, frames=(as_object(line["frame"]),))
            else:
                yield Cue(kind, client, note=str(line.get("frame", line.get("note"))))


def _kind(line: dict[str, Any]) -> Literal["note", "send", "replies", "changes", "cut"]:
    match line.get("dir"):
        case None:
            return "cut"
        case "note":
            return "note"
        case "send":
            return "send"
        case _:
            return "changes" if as_object(line["frame"])["event"] == "postgres_changes" else "replies"


def as_object(frame: Frame | list[Any]) -> Frame:
    """Convert a frame of either protocol version to an object."""
    if isinstance(frame, list):
        return dict(zip(("join_ref", "ref", "topic", "event", "payload"), frame, strict=True))
    return frame


def long_text(size: int, beginning: str = "") -> str:
    """Rebuild a text whose beginning was recorded: one repeated letter, or hexadecimal noise."""
    return "x" * size if beginning.startswith("x") else random.Random(size).randbytes(size // 2).hex()


def thin_bytes(note: str) -> int | None:
    """Return the size of the column that a note announces."""
    found = _THIN_BYTES.search(note)
    return int(found[1]) if found else None


def change(database: psycopg.Connection, data: dict[str, Any], payload_bytes: int | None) -> None:
    """Repeat the change that a recorded event reports; `payload_bytes` is the size of a shortened column."""
    table = sql.Identifier(data["schema"], data["table"])
    record = dict(data.get("record", {}))
    if data["type"] == "INSERT" and payload_bytes:
        record["payload"] = long_text(payload_bytes)
    columns = sql.SQL(", ").join(map(sql.Identifier, record))
    marks = sql.SQL(", ").join([sql.Placeholder()] * len(record))
    match data["type"]:
        case "INSERT" if not record:
            database.execute(sql.SQL("insert into {} default values").format(table))
        case "INSERT":
            insert = sql.SQL("insert into {} ({}) overriding system value values ({})").format(table, columns, marks)
            database.execute(insert, list(record.values()))
        case "UPDATE":
            key = record.pop("id")
            _insert_if_absent(database, table, key)
            pairs = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in record)
            database.execute(sql.SQL("update {} set {} where id = %s").format(table, pairs), [*record.values(), key])
        case _:
            key = data["old_record"]["id"]
            with database.transaction():  # a row that nobody saw was gone before the poll
                _insert_if_absent(database, table, key)
                database.execute(sql.SQL("delete from {} where id = %s").format(table), [key])


def _insert_if_absent(database: psycopg.Connection, table: sql.Identifier, key: object) -> None:
    insert = sql.SQL("insert into {} (id) overriding system value values (%s) on conflict do nothing")
    database.execute(insert.format(table), [key])
