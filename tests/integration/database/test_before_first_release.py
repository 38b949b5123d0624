"""A database from before the first release: its tables are set aside, the present files applied, its rows copied.

The statements are in docs/database.md; `before_first_release.tar.gz` has the 24 files that were folded.
"""

import re
import subprocess
import tarfile
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Final

import psycopg
import pytest

from sentinel_local_supabase.postgres import SUPERUSER, Postgres
from sentinel_worker.database import ledger, migrate, statements
from sentinel_worker.database.migration_files import FILE_NAME, Migration
from tests.integration.database.queue_client import Queue
from tests.integration.database.servers import psql

HERE: Final = Path(__file__).parent
PAGE: Final = (HERE.parents[2] / "docs" / "database.md").read_text(encoding="utf-8")
SECTION: Final = PAGE.partition("## A database from before the first release\n")[2].partition("\n## ")[0]
SET_ASIDE, COPY = re.findall(r"```sql\n(.*?)```", SECTION, re.DOTALL)
DROP: Final = "drop schema sentinel_before cascade"
RECORD: Final = "insert into supabase_migrations.schema_migrations (version, name) values (%s, %s)"
CHANGE: Final = "update supabase_migrations.schema_migrations set statements[1] = 'select 1'"
SQL_COMMENT: Final = re.compile(r"\s*--.*")
KEPT: Final = {
    "requests": "select id, user_id, storage_path, status, verdict, attempt, error_code, created_at, finished_at"
    " from public.analysis_requests order by id",
    "results": "select request_id, verdict, is_current, timeline from public.analysis_results order by id",
    "attempts": "select request_id, fence, outcome, answer from sentinel.attempts order by fence",
    "usage": "select user_id, kind, amount::int from sentinel.usage order by at",
    "removals": "select bucket_id, name, user_id from sentinel.deletions order by name",
    "settings": "select value from sentinel.settings where name = 'max_crashes'",
}


@pytest.mark.parametrize("files_were", ["folded", "edited"])
def test_a_database_from_before_the_release_keeps_its_rows(any_server: Postgres, files_were: str) -> None:
    beside = f"new_beside_{files_were}"
    any_server.create_database(beside)
    any_server.create_database(files_were)
    dsn, new = (any_server.dsn("postgres", name) for name in (files_were, beside))
    if files_were == "folded":
        apply_old(dsn, old_files())
    else:
        migrate.apply(dsn)
    queue = Queue(dsn, any_server.dsn(SUPERUSER, files_were))
    work(queue)
    if files_were == "edited":
        queue.sql(CHANGE)
    with pytest.raises(migrate.MigrationError, match=r"Nothing was applied.*docs/database\.md") as refused:
        migrate.apply(dsn)
    assert not refused.value.passing
    before = {name: queue.sql(query) for name, query in KEPT.items()}

    queue.connection.execute(SET_ASIDE.encode())
    with pytest.raises(psycopg.errors.RaiseException, match="look at the schema sentinel_before"):
        queue.connection.execute(SET_ASIDE.encode())
    assert migrate.apply(dsn) != []
    queue.connection.execute(COPY.encode())
    assert {name: queue.sql(query) for name, query in KEPT.items()} == before
    queue.sql(DROP)

    migrate.apply(new)
    assert schema(any_server, files_were) - schema(any_server, beside) == Counter()
    assert schema(any_server, beside) - schema(any_server, files_were) == Counter()
    lost, waiting = (
        row["id"]
        for row in queue.sql(
            "select id from public.analysis_requests where status in ('running', 'queued') order by status desc"
        )
    )
    assert queue.call("sentinel_maintain", name="w", version="1", lanes=["auto/default"], slots=1)[0]["expired"] == 1
    assert queue.row(lost)["status"] == "scheduled", "it is run again"
    (claim,) = queue.claim()
    assert claim["id"] == waiting
    assert queue.succeed(claim)["answer"] == "succeeded"
    queue.close()


def work(queue: Queue) -> None:
    """Leave a request in each state, with results, history, files to remove and a changed setting."""
    queue.insert(5)
    queue.succeed(queue.claim()[0])
    queue.finish(queue.claim()[0], "failed", error_code="no_media", error_message="Not a film.")
    queue.sql("update public.analysis_requests set status = 'queued' where status = 'succeeded'")
    queue.succeed(queue.claim()[0])
    queue.claim()
    queue.sql(
        "update public.analysis_requests set status = 'cancelled'"
        " where id = (select id from public.analysis_requests where status = 'queued' limit 1)"
    )
    queue.sql("delete from public.analysis_requests where status = 'cancelled'")
    queue.sql("insert into sentinel.usage (user_id, kind, amount) values (%s, 'request', 3)", queue.user)
    queue.sql("update sentinel.settings set value = '7' where name = 'max_crashes'")


def old_files() -> list[Migration]:
    """Unpack the old files."""
    old = []
    with tarfile.open(HERE / "before_first_release.tar.gz") as archive:
        for member in archive:
            name, content = FILE_NAME.fullmatch(member.name), archive.extractfile(member)
            assert name is not None
            assert content is not None
            old.append(Migration(name[1], name[2], content.read().decode()))
    assert (len(old), old[0].version, old[0].name) == (24, *ledger.FOLDED)
    return old


def apply_old(dsn: str, old: list[Migration]) -> None:
    """Apply the old files, and record them in the ledger; `migrate.apply` refuses to."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(files("sentinel_worker.database").joinpath("ledger.sql").read_bytes())
        for migration in old:
            with connection.transaction():
                connection.execute(migration.text.encode())
                connection.execute(RECORD, (migration.version, migration.name))


def schema(server: Postgres, database: str) -> Counter[str]:
    """Return the statements that create this schema, without SQL comments."""
    command = [str(psql().with_name("pg_dump")), "--schema-only", server.dsn(SUPERUSER, database)]
    dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    code = re.sub(r"^\\.*", "", SQL_COMMENT.sub("", dump), flags=re.MULTILINE)  # \restrict has a random key
    return Counter(statement.text for statement in statements.split(code))
