"""docs/admin.md: statements of an admin in order, each with what the database answers.

`python -m tests.integration.database.admin_page` runs them on a new database and writes their answers into the page.
"""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.types.string import TextLoader

from sentinel_worker.database import migrate
from tests.integration.database.queue_client import Queue, Row
from tests.stacks import postgres_at

PAGE: Final = Path(__file__).parents[3] / "docs" / "admin.md"
BLOCK: Final = re.compile(r"```sql\n(?P<statement>.*?)\n```\n\n```text\n(?P<answer>.*?)\n```\n", re.DOTALL)
ANNA: Final = UUID("aaaaaaaa-0000-4000-8000-000000000001")
BEN: Final = UUID("bbbbbbbb-0000-4000-8000-000000000001")
WORKER: Final = UUID("cccccccc-0000-4000-8000-000000000001")


def request_id(number: int) -> UUID:
    """Return the id of a request on the page."""
    return UUID(f"00000000-0000-4000-8000-{number:012d}")


def prepare(queue: Queue) -> None:
    """Bring an empty queue into the state from which the page starts."""
    queue.worker = WORKER
    queue.sql("insert into auth.users (id, email) values (%s, 'anna@x.org'), (%s, 'ben@x.org')", ANNA, BEN)
    queue.maintain(name="gpu-1", slots=8)
    queue.succeed(_started(queue, 1, ANNA))
    queue.finish(
        _started(queue, 2, ANNA), "failed", stage="probing", error_code="media_damaged", error_message="Broken."
    )
    queue.finish(_started(queue, 3, BEN), "failed", error_code="storage_unavailable", error_message="Storage is away.")
    queue.finish(_started(queue, 4, BEN), "retry", error_code="url_timed_out", delay_seconds=3600)
    crashed = _started(queue, 5, BEN)
    queue.progress(crashed, "analyzing", 10)
    queue.sql("update sentinel.leases set lease_until = now() - interval '1 s' where request_id = %s", crashed["id"])
    queue.maintain(name="gpu-1", slots=8)
    queue.progress(_started(queue, 6, ANNA), "analyzing", 40)
    for number, user in ((7, ANNA), (8, ANNA), (9, BEN)):
        _insert(queue, number, user)


def _insert(queue: Queue, number: int, user: UUID) -> None:
    queue.insert(id=request_id(number), user_id=user, storage_path=f"{user}/clip-{number}.mp4", media_kind="video")


def _started(queue: Queue, number: int, user: UUID) -> Row:
    _insert(queue, number, user)
    held = queue.sql("select request_id from sentinel.leases")
    (claim,) = queue.claim(held=[row["request_id"] for row in held])
    return claim


def answers(queue: Queue, page: str) -> Iterator[tuple[str, str, str]]:
    """Run the page's statements in order; yield each with the answer on the page and the database's."""
    for block in BLOCK.finditer(page):
        yield block["statement"], block["answer"], answer(queue, block["statement"])


def answer(queue: Queue, statement: str) -> str:
    """Run one statement; return its rows, its command tag, or its error with the hint, as psql shows them."""
    try:
        cursor = queue.connection.cursor()
        cursor.adapters.register_loader("jsonb", TextLoader)
        cursor.execute(statement.encode(), prepare=False)
    except psycopg.Error as error:
        lines = [f"ERROR:  {error.sqlstate}: {error.diag.message_primary}"]
        return "\n".join([*lines, *([f"HINT:  {error.diag.message_hint}"] if error.diag.message_hint else [])])
    if cursor.description is None:
        return cursor.statusmessage or ""
    return _table([column.name for column in cursor.description], cursor.fetchall())


def _table(names: list[str], rows: list[Row]) -> str:
    cells = [names, *([_shown(row[name]) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    rule = "-+-".join("-" * width for width in widths)
    return "\n".join([lines[0], rule, *lines[1:], f"({len(rows)} row{'' if len(rows) == 1 else 's'})"])


def _shown(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "t" if value else "f"
        case list():
            return "{" + ",".join(map(_shown, value)) + "}"
        case _:
            return str(value)


def rewritten(page: str, answered: Callable[[str], str]) -> str:
    """Return the page with new answers."""

    def block(found: re.Match[str]) -> str:
        return f"```sql\n{found['statement']}\n```\n\n```text\n{answered(found['statement'])}\n```\n"

    return BLOCK.sub(block, page)


def main() -> None:
    """Write the answers into the page."""
    page = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, postgres_at(Path(folder) / "postgres") as server:
        superuser_dsn = server.create_database("admin")
        migrate.apply(server.dsn("postgres", "admin"))
        with closing(Queue(server.dsn("postgres", "admin"), superuser_dsn)) as queue:
            prepare(queue)
            PAGE.write_text(rewritten(page, lambda statement: answer(queue, statement)), encoding="utf-8")


if __name__ == "__main__":
    main()
