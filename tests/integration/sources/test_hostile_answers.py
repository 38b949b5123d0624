"""Attacks by a server's answer: lengths, encodings, floods, drips, garbage and cuts."""

from __future__ import annotations

import asyncio
import functools
import gzip
import socket
from contextlib import suppress

import pytest

from sentinel_worker.domain.errors import Permanent, Transient
from sentinel_worker.sources.minimum_speed import MinimumSpeed
from tests.integration.sources.scene import CONTENT, Scene
from tests.integration.sources.unruly import Exchange, drip

QUICK = MinimumSpeed(stall_seconds=0.3, floor_bytes=10_000)
BELOW_DEFAULT_SECONDS = 25.0
"""A test that takes this long waited for the default limits, of 30 s and more, instead of its own."""
OK = b"HTTP/1.1 200 OK\r\n"


async def test_a_gzip_bomb_is_not_unpacked(scene: Scene) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    for encoding in ("gzip", "GZIP", "deflate", "br", "identity, gzip", "x-unknown"):
        scene.answering(f"HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\n\r\n".encode() + bomb)
        refused = await scene.refusal()
        assert (type(refused), refused.code) == (Permanent, "url_unusable")
    assert {exchange.headers["accept-encoding"] for exchange in scene.attacker.asked} == {"identity"}
    assert list(scene.private.iterdir()) == []


async def test_a_bomb_as_a_transfer_encoding(scene: Scene) -> None:
    scene.answering(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n" + gzip.compress(bytes(10**7)))
    assert (await scene.refusal()).code == "url_unusable"


LENGTHS = {
    "shorter than promised": (b"content-length: 5000\r\n", CONTENT[:1000], "url_unreachable"),
    "more than allowed is promised": (b"content-length: 999999999999\r\n", b"x", "media_too_large"),
    "negative": (b"content-length: -1\r\n", CONTENT, "url_unusable"),
    "no number": (b"content-length: 0x10\r\n", CONTENT, "url_unusable"),
    "two of them": (b"content-length: 10\r\ncontent-length: 20\r\n", CONTENT, "url_unusable"),
    "enormous": (b"content-length: " + b"9" * 5000 + b"\r\n", b"x", "url_unusable"),
}


@pytest.mark.parametrize("lie", list(LENGTHS))
async def test_lengths_that_lie(scene: Scene, lie: str) -> None:
    head, body, code = LENGTHS[lie]
    scene.answering(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body)
    refused = await scene.refusal()
    assert (refused.code, isinstance(refused, Transient)) == (code, code == "url_unreachable")


async def test_a_body_longer_than_declared_ends_at_the_declared_length(scene: Scene) -> None:
    scene.answering(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + CONTENT)
    assert (await scene.fetch(f"{scene.attacker.url}/")).path.read_bytes() == CONTENT[:1000]


async def pour(exchange: Exchange, head: bytes, chunk: bytes) -> None:
    """Send endlessly."""
    exchange.writer.write(OK + head)
    with suppress(ConnectionError):
        while True:
            exchange.writer.write(chunk)
            await exchange.writer.drain()


def chunked(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


@pytest.mark.parametrize(
    ("head", "chunk"),
    [
        (b"\r\n", bytes(65536)),
        (b"transfer-encoding: chunked\r\n\r\n", chunked(bytes(65536))),
        (b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n", chunked(bytes(65536))),
    ],
    ids=["to the end of the connection", "chunked", "chunked, with a length beside"],
)
async def test_an_endless_body(scene: Scene, head: bytes, chunk: bytes) -> None:
    scene.attacker.behave = [functools.partial(pour, head=head, chunk=chunk)]
    refused = await scene.refusal(limit_bytes=3_000_000)
    assert (type(refused), refused.code) == (Permanent, "media_too_large")
    assert (scene.private / "media").stat().st_size <= 3_000_000


SLOW: dict[str, tuple[bytes, bytes]] = {
    "body": (OK + b"content-length: 100000\r\n\r\n", b"x" * 10),
    "chunks": (OK + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "chunk extensions": (OK + b"transfer-encoding: chunked\r\n\r\n1;", b"a=b;" * 10),
    "trailers": (OK + b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"a: b\r\n"),
    "headers": (OK, b"a: b\r\n"),
    "one header": (OK + b"a: ", b"b"),
    "informational answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("slow", list(SLOW))
async def test_a_slow_loris(scene: Scene, slow: str) -> None:
    """A byte now and then keeps no connection open: the head has a time limit, the body a minimum speed."""
    head, chunk = SLOW[slow]
    scene.attacker.behave = [functools.partial(drip, head=head, drop=chunk)]
    async with asyncio.timeout(BELOW_DEFAULT_SECONDS):
        refused = await scene.refusal(minimum_speed=QUICK, answer_seconds=0.5)
    assert (type(refused), refused.code) == (Transient, "url_stalled")


async def test_an_endless_body_just_above_the_minimum_speed(scene: Scene) -> None:
    """Fast enough for the minimum speed, too slow ever to reach the limit of bytes: the time limit ends it."""
    scene.attacker.behave = [functools.partial(drip, head=OK + b"\r\n")]
    async with asyncio.timeout(BELOW_DEFAULT_SECONDS):
        refused = await scene.refusal(minimum_speed=MinimumSpeed(stall_seconds=60.0, floor_bytes=1), limit_seconds=0.5)
    assert (type(refused), refused.code) == (Transient, "url_stalled")


FLOODS = {
    "headers": (b"", b"a: b\r\n" * 1000),
    "one header": (b"a: ", b"b" * 10_000),
    "trailers": (b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"a: b\r\n" * 1000),
    "a chunk's extension": (b"transfer-encoding: chunked\r\n\r\n1;", b"a" * 10_000),
    "a chunk's length": (b"transfer-encoding: chunked\r\n\r\n", b"0" * 10_000),
}


@pytest.mark.parametrize("flood", list(FLOODS))
async def test_a_flood_outside_the_body(scene: Scene, flood: str) -> None:
    """Nothing kept in memory grows beyond h11's 100 kilobytes."""
    head, chunk = FLOODS[flood]
    scene.attacker.behave = [functools.partial(pour, head=head, chunk=chunk)]
    refused = await scene.refusal()
    assert refused.code == ("url_unusable" if "header" in flood else "url_unreachable")


GARBAGE = {
    "HTTP/0.9": (b"<html>hello</html>\r\n\r\n", "url_unusable"),
    "another protocol": (b"SSH-2.0-OpenSSH_9.9\r\n", "url_unreachable"),
    "nothing": (b"", "url_unreachable"),
    "half a head": (b"HTTP/1.1 200 OK\r\ncontent-le", "url_unreachable"),
    "a status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", "url_unusable"),
    "NUL in a header": (b"HTTP/1.1 200 OK\r\na: b\0c\r\n\r\n", "url_unusable"),
    "a chunk without a length": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", "url_unreachable"),
    "switching protocols": (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", "url_unusable"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", "url_unusable"),
    "HTTP/2's preface": (b"\0\0\x12\x04\0\0\0\0\0" + b"\0" * 18, "url_unusable"),
}


async def test_trailers_are_read_over(scene: Scene) -> None:
    end = b"0\r\ncontent-encoding: gzip\r\nlocation: http://127.0.0.1/\r\n\r\n"
    scene.answering(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(CONTENT) + end)
    assert (await scene.fetch(f"{scene.attacker.url}/")).path.read_bytes() == CONTENT


@pytest.mark.parametrize("garbage", list(GARBAGE))
async def test_an_answer_that_is_not_http(scene: Scene, garbage: str) -> None:
    answer, code = GARBAGE[garbage]
    scene.answering(answer)
    assert (await scene.refusal()).code == code


async def reset(exchange: Exchange) -> None:
    exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + CONTENT[:1000])
    await exchange.writer.drain()
    # A RST instead of a FIN.
    exchange.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


async def test_a_reset_in_the_middle(scene: Scene) -> None:
    scene.attacker.behave = [reset]
    refused = await scene.refusal()
    assert (type(refused), refused.code) == (Transient, "url_unreachable")


async def test_an_environment_with_a_proxy_changes_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, scene.target.url)
    assert (await scene.fetch(f"http://attacker.example:{scene.attacker.port}/")).size_bytes == len(CONTENT)
