"""Answers that cost the worker's event loop more than their sender: small pieces, floods of heads, long quotes."""

from __future__ import annotations

import asyncio
import functools
import time
from statistics import median

import pytest

from sentinel_worker.domain.errors import CodedError, Permanent
from sentinel_worker.sources import http_body
from sentinel_worker.worker.error_outcomes import CAUSE_CHARACTERS, finish_for
from tests.claims import a_claim
from tests.integration.sources.scene import CONTENT, Scene
from tests.integration.sources.test_hostile_answers import chunked, pour
from tests.integration.sources.turns import turns
from tests.integration.sources.unruly import Exchange

SERVERS = 4
LONGEST_TURN_SECONDS, USUAL_TURN_SECONDS = 0.5, 0.05


async def flood(exchange: Exchange, chunk: bytes) -> None:
    """Send endlessly, without a head."""
    while True:
        exchange.writer.write(chunk)
        await exchange.writer.drain()


CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
FLOODS = {
    "chunks of one byte": functools.partial(pour, head=CHUNKED, chunk=chunked(b"a") * 20_000),
    "chunks of one byte with extensions": functools.partial(pour, head=CHUNKED, chunk=b"1;a=b\r\na\r\n" * 20_000),
    "informational heads": functools.partial(flood, chunk=b"HTTP/1.1 103 E\r\n\r\n" * 5000),
    "lines of a head": functools.partial(pour, head=b"", chunk=b"a:\r\n" * 20_000),
}


@pytest.mark.parametrize("what", list(FLOODS))
async def test_a_flood_of_small_pieces_does_not_block_the_event_loop(scene: Scene, what: str) -> None:
    scene.attacker.behave = [FLOODS[what]]
    with turns() as seen:
        refused = await asyncio.gather(*(asyncio.create_task(refusal_in(scene, name)) for name in "abcd"[:SERVERS]))
    assert {(type(error), error.code) for error in refused} == {(Permanent, "url_unusable")}
    assert max(seen) < LONGEST_TURN_SECONDS
    assert median(seen) < USUAL_TURN_SECONDS
    assert len(seen) > 10


async def refusal_in(scene: Scene, name: str) -> CodedError:
    """Fetch into a new folder."""
    folder = scene.private / name
    folder.mkdir()
    return await Scene(scene.attacker, scene.target, scene.names, scene.rules, folder).refusal(limit_bytes=2 * 1024**3)


async def test_a_file_in_fairly_small_pieces_is_fetched(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_body, "_PARTS_TO_JUDGE", 100)
    size = http_body._SMALL_PART_BYTES
    parts = b"".join(chunked(CONTENT[start : start + size]) for start in range(0, len(CONTENT), size))
    scene.answering(b"HTTP/1.1 200 OK\r\n" + CHUNKED + parts + b"0\r\n\r\n")
    assert (await scene.fetch(f"{scene.attacker.url}/")).path.read_bytes() == CONTENT


async def test_early_hints_before_an_answer_are_read_over(scene: Scene) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n" * 10
    scene.answering(hints + b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(CONTENT) + CONTENT)
    assert (await scene.fetch(f"{scene.attacker.url}/")).path.read_bytes() == CONTENT


LONG = b"a." * 30_000
QUOTED = {
    "an address": b"HTTP/1.1 302 Found\r\nlocation: //" + LONG + "\u2603\u00ad..".encode() + b"/\r\n\r\n",
    "a whole address": b"HTTP/1.1 302 Found\r\nlocation: https://" + LONG + b"/\r\n\r\n",
    "a status line": LONG + b"\r\n\r\n",
    "a header": b"HTTP/1.1 200 OK\r\n" + LONG + b"\r\n\r\n",
    "a chunk's length": b"HTTP/1.1 200 OK\r\n" + CHUNKED + LONG + b"\r\n",
    "a name that is quoted": b"HTTP/1.1 302 Found\r\nlocation: //" + b"a." * 4000 + "\u2603".encode() + b"/\r\n\r\n",
}


@pytest.mark.parametrize("what", list(QUOTED))
async def test_what_a_server_says_costs_nothing_when_it_is_quoted(scene: Scene, what: str) -> None:
    """Libraries quote it in their errors, which are stored as the cause, so they are masked by regex searches."""
    scene.answering(QUOTED[what])
    with turns() as seen:
        refused = await scene.refusal()
        began = time.thread_time()
        detail = finish_for(refused, a_claim(), "fetching").as_json(a_claim())["error_detail"]
        assert time.thread_time() - began < LONGEST_TURN_SECONDS
    assert refused.code in {"url_unusable", "url_refused", "url_unreachable"}
    assert len(str(detail["cause"])) < CAUSE_CHARACTERS + 50
    assert max(seen) < LONGEST_TURN_SECONDS
