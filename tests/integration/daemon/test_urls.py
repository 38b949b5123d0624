"""Rows with a URL: fetched over https from allowed hosts, refused elsewhere at once and in one sentence."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme

from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import StartWorker, User, Worker, signed_in
from tests.integration.daemon.queries import history, row_when, sql
from tests.integration.sources.unruly import Exchange, Unruly, unruly_server
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass
class Web:
    """A server of films at https://localhost, and one at 127.0.0.2 that must not be contacted."""

    films: Unruly
    target: Unruly
    authority: Path

    @property
    def settings(self) -> dict[str, str]:
        return {
            "SENTINEL_URL_PORTS": f"443,{self.films.port},{self.target.port}",
            "SENTINEL_URL_ALLOWED_NETWORKS": "127.0.0.1, ::1",
            "SSL_CERT_FILE": str(self.authority),
        }

    def url(self, path: str) -> str:
        return f"https://localhost:{self.films.port}/{path}?token=hidden"


@pytest_asyncio.fixture(loop_scope="session")
async def web(clips: dict[str, Path], tmp_path: Path) -> AsyncIterator[Web]:
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    film = clips["carphone_pristine-tampered.mp4"].read_bytes()
    async with unruly_server("127.0.0.1", tls) as films, unruly_server("127.0.0.2") as target:
        films.behave = [functools.partial(serve, film=film, target=target, busy=iter([True]))]
        target.behave = [functools.partial(Exchange.serve, content=film)]
        yield Web(films, target, tmp_path / "ca.pem")
        assert target.connections == 0


async def serve(exchange: Exchange, film: bytes, target: Unruly, busy: Iterator[bool]) -> None:
    match exchange.target.split()[1].split("?")[0]:
        case "/film.mp4":
            await exchange.serve(film)
        case "/busy.mp4" if next(busy, False):
            await exchange.answer("429 Too Many Requests", b"", retry_after="1")
        case "/busy.mp4":
            await exchange.serve(film)
        case "/moved.mp4":
            await exchange.answer("302 Found", b"", location="/film.mp4?signature=hidden")
        case "/away.mp4":
            await exchange.answer("302 Found", b"", location=f"https://127.0.0.2:{target.port}/secret?hidden")
        case _:
            await exchange.answer("404 Not Found", b"")


async def test_urls_are_answered_or_refused_in_one_sentence(
    stack: Stack, start_worker: StartWorker, user: User, web: Web, clips: dict[str, Path]
) -> None:
    worker = await start_worker(**web.settings)
    asked = {name: await user.insert(None, source_url=web.url(name)) for name in ("film.mp4", "moved.mp4", "busy.mp4")}
    film = clips["carphone_pristine-tampered.mp4"].read_bytes()
    for name, request_id in asked.items():
        row = await user.answer(request_id)
        assert (row["status"], row["verdict"], row["attempt"]) == ("succeeded", "fake", 2 if name == "busy.mp4" else 1)
        (result,) = sql(stack, "select media from analysis_results where request_id = %s", request_id)
        media = result["media"]
        assert media["source_url"] == f"https://localhost:{web.films.port}/{name}"
        assert (media["etag"], media["sha256"]) == ('"a"', hashlib.sha256(film).hexdigest())
    assert history(stack, asked["busy.mp4"])[0] == (1, "retry", "scheduled")

    refused = {
        web.url("away.mp4"): "url_refused",
        web.url("nothing.mp4"): "url_not_found",
        f"https://127.0.0.2:{web.target.port}/?hidden": "url_refused",
        f"https://[::ffff:127.0.0.2]:{web.target.port}/?hidden": "url_refused",
        f"https://2130706434:{web.target.port}/?hidden": "url_refused",
        "https://169.254.169.254/latest/meta-data/?hidden": "url_refused",
        f"https://user:hidden@localhost:{web.films.port}/film.mp4": "url_refused",
        f"http://localhost:{web.films.port}/film.mp4?hidden": "url_refused",
        "https://localhost:22/?hidden": "url_refused",
    }
    rows = {url: await user.insert(None, source_url=url) for url in refused}
    for url, request_id in rows.items():
        row = await user.answer(request_id)
        assert (row["status"], row["error_code"], row["attempt"]) == ("failed", refused[url], 1), url
        assert row["error_message"].endswith(".")
        assert "hidden" not in row["error_message"] + str(row["error_params"])
        assert history(stack, request_id) == [(1, "failed", "failed")]
    assert not [one for one in sql(stack, "select error from sentinel.attempts") if "hidden" in str(one["error"])]
    nothing_leaked(worker)


async def test_the_row_shows_how_much_has_come(
    stack: Stack, start_worker: StartWorker, user: User, web: Web, clips: dict[str, Path]
) -> None:
    film, seen = clips["carphone_pristine.mp4"].read_bytes(), asyncio.Event()
    film += struct.pack(">I4s", 40_000_000, b"free") + bytes(40_000_000 - 8)
    web.films.behave = [functools.partial(serve_slowly, film=film, until=seen)]
    await start_worker(**web.settings)
    request_id = await user.insert(None, source_url=web.url("film.mp4"))
    row = await row_when(stack, request_id, lambda row: row["stage"] == "fetching" and row["progress"] >= 5)
    assert row["progress"] <= 30
    seen.set()
    assert (await user.answer(request_id))["verdict"] == "real"


async def serve_slowly(exchange: Exchange, film: bytes, until: asyncio.Event) -> None:
    """Send at least a fifth of the film, and all of it once `until` is set."""
    await exchange.answer("200 OK", film, cut=0)
    for start in range(0, len(film), 1_000_000):
        exchange.writer.write(film[start : start + 1_000_000])
        await exchange.writer.drain()
        if start > 8_000_000:
            with suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), 1.0)


async def test_servers_that_drip_hold_back_neither_uploads_nor_the_urls_of_others(
    stack: Stack, start_worker: StartWorker, user: User, web: Web, clips: dict[str, Path]
) -> None:
    over = asyncio.Event()
    film = clips["carphone_pristine.mp4"].read_bytes()
    web.films.behave = [functools.partial(serve_or_drip, film=film, over=over)]
    worker = await start_worker(**web.settings, SENTINEL_SLOTS="5", module="tests.integration.daemon.hasty")
    # More than a worker takes: of five slots the user has three, of which two drip and one waits for a place.
    dripping = [await user.insert(None, source_url=web.url(f"drip/{number}.mp4")) for number in range(8)]
    await until(lambda: len(fetching(stack, dripping)) >= 2, what="two drip")
    async with signed_in(stack) as other:
        upload = await other.ask(clips["carphone_pristine.mp4"])
        by_url = await other.insert(None, source_url=web.url("film.mp4"))
        assert (await other.answer(upload))["verdict"] == "real"
        assert (await other.answer(by_url))["verdict"] == "real"
    drips = {exchange.target.split("?")[0] for exchange in web.films.asked if "/drip/" in exchange.target}
    assert len(drips) == len(fetching(stack, dripping)) == 2

    def ended() -> list[dict[str, Any]]:
        query = "select distinct outcome from sentinel.attempts where request_id = any (%s::uuid[])"
        return sql(stack, query, dripping)

    await until(lambda: bool(ended()), what="one that waited for a place gave up its slot")
    assert ended() == [{"outcome": "snoozed"}]
    assert all(row["attempt"] <= 1 for row in sql(stack, "select attempt from analysis_requests"))
    over.set()
    nothing_leaked(worker)


async def test_a_download_ends_when_nobody_waits_for_the_answer_any_more(
    stack: Stack, start_worker: StartWorker, user: User, web: Web, clips: dict[str, Path]
) -> None:
    over = asyncio.Event()
    film = clips["carphone_pristine.mp4"].read_bytes()
    web.films.behave = [functools.partial(serve_or_drip, film=film, over=over)]
    await start_worker(**web.settings)
    by = sql(stack, "select now() + interval '6 s' as at")[0]["at"]
    request_id = await user.insert(None, source_url=web.url("drip/1.mp4"), answer_by=by.isoformat())
    row = await user.answer(request_id)
    assert (row["status"], row["error_code"], row["attempt"]) == ("failed", "answer_too_late", 1)
    assert row["finished_at"] >= by
    assert history(stack, request_id) == [(1, "failed", "failed")]
    over.set()


def fetching(stack: Stack, asked: list[str]) -> list[dict[str, Any]]:
    return sql(stack, "select from analysis_requests where id = any (%s::uuid[]) and stage = 'fetching'", asked)


async def serve_or_drip(exchange: Exchange, film: bytes, over: asyncio.Event) -> None:
    """Fast, or a little faster than the lowest speed allowed."""
    if "/drip/" not in exchange.target:
        await exchange.serve(film)
        return
    await exchange.answer("200 OK", bytes(100_000_000), cut=0)
    while not over.is_set():
        exchange.writer.write(bytes(13_000))
        await exchange.writer.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), 1.0)


async def test_unreachable_servers_are_not_an_outage_of_supabase(
    stack: Stack, start_worker: StartWorker, user: User, web: Web, clips: dict[str, Path]
) -> None:
    async with unruly_server("127.0.0.1") as gone:
        settings = {**web.settings, "SENTINEL_URL_PORTS": str(gone.port)}
    worker = await start_worker(**settings)
    away = [await user.insert(None, source_url=f"https://localhost:{gone.port}/?hidden") for _ in range(5)]
    for request_id in away:
        row = await row_when(stack, request_id, lambda row: row["status"] == "scheduled")
        assert row["error_code"] == "url_unreachable"
        assert history(stack, request_id)[0] == (1, "retry", "scheduled")
    assert (await user.answer(await user.ask(clips["carphone_pristine.mp4"])))["verdict"] == "real"
    nothing_leaked(worker)


async def test_a_worker_that_fetches_no_urls_says_so(stack: Stack, start_worker: StartWorker, user: User) -> None:
    await start_worker(SENTINEL_URL_SOURCES="none")
    row = await user.answer(await user.insert(None, source_url="https://127.0.0.2/film.mp4"))
    assert (row["status"], row["error_code"], row["attempt"]) == ("failed", "source_not_supported", 1)
    assert row["error_message"] == "This worker does not fetch URLs: upload the file instead."


def nothing_leaked(worker: Worker) -> None:
    assert "hidden" not in worker.log.read_text()
    assert not worker.said() & {"request.crashed", "supabase.lost"}
