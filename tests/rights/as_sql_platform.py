"""Questions as SQL about the platform's tables that our policies cover: objects, buckets and messages."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.rights.matrix import Matrix
from tests.rights.session import Session
from tests.rights.world import MESSAGES, PLACES, USER_A

STORAGE = {"storage__allow_delete_query": "true"}
NAMED_BY_THE_OUTBOX = {
    "storage.objects, named by the outbox": f"{USER_A}/deleted.bin",
    "storage.objects, named, uploaded again since": f"{USER_A}/replaced.bin",
    "storage.objects, named, and by a request": f"{USER_A}/seed.mp4",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One statement with its parameters and settings; it is allowed if it reaches exactly one row."""

    name: str
    letter: str
    statement: str
    parameters: list[Any]
    settings: dict[str, str]


def _objects() -> Iterator[Asked]:
    this = "where bucket_id = %s and name = %s"
    for place, (bucket, folder) in PLACES.items():
        name, key, new = f"storage.objects {place}", [bucket, f"{folder}row.bin"], [bucket, f"{folder}new.bin"]
        yield Asked(name, "S", f"select name from storage.objects {this}", key, {})  # noqa: S608
        yield Asked(name, "I", "insert into storage.objects (bucket_id, name) values (%s, %s)", new, {})
        yield Asked(name, "U", f"update storage.objects set metadata = '{{}}' {this}", key, {})  # noqa: S608
        yield Asked(name, "D", f"delete from storage.objects {this}", key, STORAGE)  # noqa: S608
    for name, named in NAMED_BY_THE_OUTBOX.items():
        yield Asked(name, "D", f"delete from storage.objects {this}", ["media", named], STORAGE)  # noqa: S608
    plain = f"delete from storage.objects {this}"  # noqa: S608
    yield Asked("storage.objects, plain DELETE", "D", plain, ["media", f"{USER_A}/row.bin"], {})


def _buckets() -> Iterator[Asked]:
    name, this = "storage.buckets", "where id = 'media'"
    yield Asked(name, "S", f"select id from storage.buckets {this}", [], {})  # noqa: S608
    yield Asked(name, "I", "insert into storage.buckets (id, name) values ('new', 'new')", [], {})
    yield Asked(name, "U", f"update storage.buckets set public = true {this}", [], {})  # noqa: S608
    yield Asked(name, "D", f"delete from storage.buckets {this}", [], STORAGE)  # noqa: S608


def _messages() -> Iterator[Asked]:
    this = "where id = %s"
    for name, topic, key in (
        ("realtime.messages sentinel:wake", "sentinel:wake", "broadcast"),
        ("realtime.messages, presence of it", "sentinel:wake", "presence"),
        ("realtime.messages, another topic", "another", "another"),
    ):
        extension = "presence" if key == "presence" else "broadcast"
        row, settings = [MESSAGES[key]], {"realtime__topic": topic}
        new = "insert into realtime.messages (topic, extension) values (%s, %s)"
        yield Asked(name, "S", f"select id from realtime.messages {this}", row, settings)  # noqa: S608
        yield Asked(name, "I", new, [topic, extension], settings)
        yield Asked(name, "U", f"update realtime.messages set event = 'y' {this}", row, settings)  # noqa: S608
        yield Asked(name, "D", f"delete from realtime.messages {this}", row, settings)  # noqa: S608


def ask_platform(session: Session) -> Matrix:
    """Ask one identity about every place, bucket and kind of message."""
    matrix, who = Matrix(), session.identity.name
    for asked in (*_objects(), *_buckets(), *_messages()):
        matrix.asked += 1
        answer = session.ask(asked.statement, *asked.parameters, **asked.settings)
        # Objects keep a bucket in use from being deleted, whatever the caller's rights.
        reached = answer.rows == 1 or answer.state == "23503"
        if not (answer.is_refused or reached or (answer.state is None and answer.rows == 0)):
            matrix.unclear.append(
                f"{who}, {asked.letter} on {asked.name}: {answer.rows} rows, {answer.state} {answer.message}"
            )
        matrix.add("platform rows", asked.name, who, asked.letter if reached else "")
    return matrix
