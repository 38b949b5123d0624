"""`make demo`: a local Supabase, a worker, real clips, a picture and a sound, each also tampered with, ten verdicts.

It does with supabase-py what a frontend does with supabase-js: sign in, upload, insert, watch.
"""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, cast

import httpx
from realtime import RealtimePostgresChangesListenEvent
from realtime.types import PostgresChangesPayload
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from supabase import AsyncClient, AsyncClientOptions, acreate_client

from examples import samples
from sentinel_local_supabase.errors import LocalSupabaseError
from sentinel_local_supabase.stack import Stack
from sentinel_worker.commands.dev import WorkerProcess, worker_environment
from sentinel_worker.database import migrate
from sentinel_worker.detectors import registry
from sentinel_worker.domain.errors import CodedError
from sentinel_worker.media.libraries import require_libraries

FOLDER = Path(".sentinel/demo")
LIMIT_SECONDS = 300
REQUEST_SECONDS = 30
LOOK_AGAIN_SECONDS = 2.0
MEDIA_TYPES = {".mp4": "video/mp4", ".jpg": "image/jpeg", ".wav": "audio/wav"}
FINAL = {"succeeded", "failed", "cancelled"}

console = Console()


@dataclass
class Watched:
    """One file and its row, as the owner sees it."""

    path: Path
    expected: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    inserted_at: float = 0.0
    seconds: float = 0.0
    row: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.row.get("status") in FINAL

    @property
    def right(self) -> bool:
        return self.row.get("verdict") == self.expected

    def see(self, row: dict[str, Any]) -> None:
        """Apply a newer version of the row."""
        if not self.done:
            self.row |= row
            self.seconds = monotonic() - self.inserted_at


async def main() -> int:
    """Run the demo; returns the exit status."""
    await asyncio.to_thread(require_libraries)
    async with AsyncExitStack() as running:
        with console.status("starting PostgreSQL and the gateway"):
            stack = await running.enter_async_context(Stack(FOLDER / "supabase", port=0, migrations=migrate.apply))
        environment = worker_environment(stack, {"SENTINEL_LOG_LEVEL": "info"})
        log = FOLDER / "worker.log"
        worker = await running.enter_async_context(WorkerProcess(environment, log=log))
        console.print(f"local Supabase at {stack.url}, worker is process {worker.pid} (log: {log})")
        with console.status("preparing the files"):
            files = [Watched(*file) for file in await asyncio.to_thread(samples.make_all, FOLDER / "files")]
        with console.status("waiting for the worker to load its detectors"):
            await worker.ready()
        client = await running.enter_async_context(signed_in(stack))
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await ask(client, files)
        except TimeoutError:
            console.print(f"[red]no answer within {LIMIT_SECONDS} s[/red]; see the worker's log {log}")
    console.print()
    console.print(verdicts(files))
    for key in registry.DEMO_DETECTORS:
        console.print(f"[yellow]{key}: {registry.DETECTORS[key].notice}[/yellow]")
    right = sum(file.right for file in files)
    console.print(f"{right} of {len(files)} verdicts are right")
    return 0 if right == len(files) else 1


@asynccontextmanager
async def signed_in(stack: Stack) -> AsyncIterator[AsyncClient]:
    """Sign up a new user, as the frontend does, and yield their client."""
    async with httpx.AsyncClient(timeout=REQUEST_SECONDS) as http:
        options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False)
        client = await acreate_client(stack.url, stack.publishable_key, options)
        email, password = f"demo-{uuid.uuid4().hex[:12]}@example.com", uuid.uuid4().hex
        await client.auth.sign_up({"email": email, "password": password})
        await client.auth.sign_in_with_password({"email": email, "password": password})
        try:
            yield client
        finally:
            await client.realtime.close()


async def ask(client: AsyncClient, files: Sequence[Watched]) -> None:
    """Upload and insert every file, then show the rows until all are final."""
    session = await client.auth.get_session()
    assert session is not None
    by_id = {file.id: file for file in files}
    changed = asyncio.Event()

    def on_update(payload: PostgresChangesPayload) -> None:
        row = payload["data"].get("record") or {}
        if row.get("id") in by_id:
            by_id[row["id"]].see(row)
            changed.set()

    await client.realtime.set_auth(session.access_token)
    channel = client.channel(f"requests-{uuid.uuid4().hex}")
    channel.on_postgres_changes(
        RealtimePostgresChangesListenEvent.Update,
        callback=on_update,
        table="analysis_requests",
        schema="public",
    )
    await channel.subscribe()
    for file in files:
        path = f"{session.user.id}/{file.id}{file.path.suffix}"
        await client.storage.from_("media").upload(path, file.path, {"content-type": MEDIA_TYPES[file.path.suffix]})
        file.inserted_at = monotonic()
        await client.table("analysis_requests").insert({"id": file.id, "storage_path": path}).execute()
    with Live(console=console, refresh_per_second=8) as live:
        while not all(file.done for file in files):
            live.update(progress(files))
            await look_or_wait(client, by_id, changed)
        live.update(progress(files))
    answer = await client.table("analysis_results").select("*").in_("request_id", list(by_id)).execute()
    for row in cast("list[dict[str, Any]]", answer.data):
        by_id[row["request_id"]].result = row


async def look_or_wait(client: AsyncClient, by_id: dict[str, Watched], changed: asyncio.Event) -> None:
    """Wait for an UPDATE; query the rows after a quiet time, because Realtime may lose some."""
    try:
        async with asyncio.timeout(LOOK_AGAIN_SECONDS):
            await changed.wait()
        changed.clear()
    except TimeoutError:
        answer = await client.table("analysis_requests").select("*").in_("id", list(by_id)).execute()
        for row in cast("list[dict[str, Any]]", answer.data):
            by_id[row["id"]].see(row)


def progress(files: Sequence[Watched]) -> Table:
    """Return a table of the progress, with one line per file."""
    table = Table.grid(padding=(0, 2))
    for file in files:
        percent = 100 if file.done else file.row.get("progress") or 0
        said = file.row.get("stage") or file.row.get("status") or "queued"
        table.add_row(file.path.name, ProgressBar(total=100, completed=percent, width=30), f"{percent:3d} %", said)
    return table


def verdicts(files: Sequence[Watched]) -> Table:
    """Return a table of the verdicts."""
    headings = ("file", "verdict", "P(fake)", "windows", "seconds", "worker", "")
    table = Table(
        *(Column(heading, no_wrap=True) for heading in headings), box=None, padding=(0, 1, 0, 0), pad_edge=False
    )
    for file in files:
        probability = file.row.get("fake_probability")
        table.add_row(
            file.path.name,
            str(file.row.get("verdict") or file.row.get("error_code") or file.row.get("status") or "no answer"),
            f"{probability:.3f}" if probability is not None else "",
            str(len(file.result.get("timeline") or [])),
            f"{file.seconds:.1f}",
            str(file.result.get("worker") or "")[:8],
            "[green]right[/green]" if file.right else f"[red]expected {file.expected}[/red]",
        )
    return table


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except (CodedError, LocalSupabaseError) as error:
        sys.exit(error.message)
