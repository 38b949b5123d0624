"""Backups of a local Supabase's database as a project has them: without the objects in Storage."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from sentinel_local_supabase.postgres import SUPERUSER
from sentinel_local_supabase.stack import Stack

A_DAY_OLDER = """
do $$
declare
  c record;
begin
  set local session_replication_role = replica;
  for c in
    select format('%I.%I', table_schema, table_name) as name,
           string_agg(format('%1$I = %1$I - interval ''1 day''', column_name), ', ') as change
      from information_schema.columns join information_schema.tables using (table_schema, table_name)
     where data_type = 'timestamp with time zone' and table_type = 'BASE TABLE' and is_generated = 'NEVER'
       and table_schema in ('public', 'sentinel', 'auth', 'storage')
     group by 1
  loop
    execute format('update %s set %s', c.name, c.change);
  end loop;
end $$
"""
OBJECTS = "storage.objects"


def grow_older(stack: Stack) -> None:
    """Move everything in the database a day into the past."""
    with psycopg.connect(stack.superuser_dsn, autocommit=True) as connection:
        connection.execute(A_DAY_OLDER)


def back_up(stack: Stack, file: Path) -> None:
    """Dump the whole database into `file`."""
    _run(stack, "pg_dump", "--format=custom", f"--file={file}", stack.postgres.dsn(SUPERUSER))


async def restore(stack: Stack, file: Path, *, keep_objects: bool) -> None:
    """Replace the database by the dump, while nothing is served; `keep_objects` keeps the newer `storage.objects`."""
    await stack.stop_gateway()
    await asyncio.to_thread(_restore, stack, file, file.with_suffix(".objects"), keep_objects)
    await stack.start_gateway()


def _restore(stack: Stack, file: Path, objects: Path, keep_objects: bool) -> None:
    dsn = stack.postgres.dsn(SUPERUSER)
    _run(stack, "pg_dump", "--format=custom", "--data-only", f"--table={OBJECTS}", f"--file={objects}", dsn)
    with psycopg.connect(stack.postgres.dsn(SUPERUSER, "template1"), autocommit=True) as connection:
        connection.execute("drop database postgres with (force)")
    create = ["--create", "--exit-on-error", f"--dbname={stack.postgres.dsn(SUPERUSER, 'template1')}"]
    _run(stack, "pg_restore", *create, str(file))
    if keep_objects:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("truncate storage.objects")
        _run(stack, "pg_restore", "--data-only", "--disable-triggers", f"--dbname={dsn}", str(objects))


def _run(stack: Stack, program: str, *arguments: str) -> None:
    subprocess.run([stack.postgres.bin_dir / program, *arguments], check=True, capture_output=True)


@contextmanager
def no_file_removed(stack: Stack) -> Iterator[None]:
    """Check at the end that every file of an object is still on Storage's disk, known to the database or not."""
    before = set(_files(stack))
    yield
    assert not before - set(_files(stack))


def _files(stack: Stack) -> Iterator[Path]:
    return (path for path in (stack.folder / "objects" / "complete").rglob("*") if path.is_file())
