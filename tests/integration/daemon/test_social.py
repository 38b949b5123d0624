"""Rows that link posts, end to end: fetched by the confined process, refused by their own code, ended on demand."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import StartWorker, User, Worker
from tests.integration.daemon.queries import row_when, sql
from tests.integration.sources.social.site import Site, running_site
from tests.integration.sources.unruly import Exchange
from tests.waits import LIMIT_SECONDS, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def site() -> AsyncIterator[Site]:
    async with running_site() as running:
        yield running


async def start(start_worker: StartWorker, site: Site, tmp_path: Path, **settings: str) -> Worker:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    return await start_worker(
        module="tests.integration.daemon.social_worker",
        SENTINEL_URL_SCHEMES="https,http",
        SENTINEL_URL_PORTS=str(site.port),
        SENTINEL_URL_ALLOWED_NETWORKS="127.0.0.0/8",
        SENTINEL_WORK_DIR=str(work),
        **settings,
    )


def left_behind(tmp_path: Path) -> list[Path]:
    """Files in private folders of requests."""
    return [path for path in (tmp_path / "work").glob("*/request-*/**/*") if path.is_file()]


def children(worker: Worker) -> list[int]:
    """Processes that fetch posts for `worker`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == worker.pid and b"imitation" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


class Hanging:
    """A film whose first half arrives within four seconds, and whose rest never does."""

    def __init__(self, site: Site) -> None:
        self.reached = asyncio.Event()
        site.pages["/hanging.mp4"] = self.serve
        self.url = site.post("hanging", url=f"{site.base}/hanging.mp4", ext="mp4")

    async def reached_soon(self) -> None:
        async with asyncio.timeout(LIMIT_SECONDS):
            await self.reached.wait()

    async def serve(self, exchange: Exchange) -> None:
        exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n")
        for _ in range(20):
            exchange.writer.write(bytes(50_000))
            await exchange.writer.drain()
            self.reached.set()
            await asyncio.sleep(0.2)  # yt-dlp reports progress between pieces
        await asyncio.Event().wait()


async def test_a_post_is_answered_and_others_say_why(
    stack: Stack, start_worker: StartWorker, user: User, site: Site, clips: dict[str, Path], tmp_path: Path
) -> None:
    film = clips["carphone_pristine-tampered.mp4"].read_bytes()
    wanted = {
        site.post("film", url=site.film(film), ext="mp4"): None,
        site.post("live", url=site.film(film), ext="mp4", is_live=True): "social_live",
        site.post("list", do="list", posts=["film", "live"]): "social_playlist",
        site.post("login", do="login"): "social_login_required",
        site.post("script", do="script"): "social_js_runtime_missing",
        site.post("inside", url=f"http://10.0.0.1:{site.port}/", ext="mp4"): "url_refused",
    }
    worker = await start(start_worker, site, tmp_path)
    rows = {url: await user.insert(None, source_url=url) for url in wanted}
    for url, request_id in rows.items():
        row = await user.answer(request_id)
        assert (row["error_code"], row["attempt"]) == (wanted[url], 1), row
        assert row["status"] == ("failed" if wanted[url] else "succeeded")
    fetched = rows[f"{site.base}/post/film"]
    (result,) = sql(stack, "select verdict, media from analysis_results where request_id = %s", fetched)
    assert result["verdict"] == "fake"
    assert result["media"]["sha256"] == hashlib.sha256(film).hexdigest()
    assert result["media"]["source_url"] == f"{site.base}/post/film"
    await until(lambda: {"social.fetched", "social.failed"} <= worker.said(), what="both are logged", log=worker.log)
    assert "request.crashed" not in worker.said()
    assert not left_behind(tmp_path)


async def test_a_cancelled_request_ends_its_process(
    stack: Stack, start_worker: StartWorker, user: User, site: Site, tmp_path: Path
) -> None:
    hanging = Hanging(site)
    worker = await start(start_worker, site, tmp_path)
    request_id = await user.insert(None, source_url=hanging.url)
    await hanging.reached_soon()
    await row_when(stack, request_id, lambda row: row["stage"] == "fetching" and row["progress"] >= 5)
    assert (len(children(worker)), len(left_behind(tmp_path))) == (1, 1)
    await user.client.rpc("cancel_analysis", {"id": request_id}).execute()
    assert (await user.answer(request_id))["status"] == "cancelled"
    await until(lambda: not children(worker) and not left_behind(tmp_path), what="nothing is left", log=worker.log)


async def test_sigterm_waits_and_then_hands_back(
    stack: Stack, start_worker: StartWorker, user: User, site: Site, tmp_path: Path
) -> None:
    hanging = Hanging(site)
    worker = await start(start_worker, site, tmp_path, SENTINEL_DRAIN_SECONDS="1")
    request_id = await user.insert(None, source_url=hanging.url)
    await hanging.reached_soon()
    (child,) = children(worker)
    os.kill(child, signal.SIGTERM)  # systemd sends it to every process of the service
    assert await worker.process.stop() == 0
    row = await row_when(stack, request_id, lambda row: row["status"] == "queued")
    assert row["attempt"] == 0
    assert not Path(f"/proc/{child}").exists()
    assert not left_behind(tmp_path)


async def test_a_killed_worker_takes_its_process_along(
    stack: Stack, start_worker: StartWorker, user: User, site: Site, tmp_path: Path
) -> None:
    hanging = Hanging(site)
    worker = await start(start_worker, site, tmp_path)
    await user.insert(None, source_url=hanging.url)
    await hanging.reached_soon()
    (child,) = children(worker)
    worker.process.signal(signal.SIGKILL)
    await worker.process.wait()
    await until(lambda: not Path(f"/proc/{child}").exists(), what="the process is gone")
