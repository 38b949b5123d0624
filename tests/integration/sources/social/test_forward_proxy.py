"""The proxy itself: the traffic that it passes byte for byte, and its answers to the rest."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from sentinel_worker.sources.egress import Egress
from sentinel_worker.sources.egress_policy import EgressPolicy
from sentinel_worker.sources.forward_proxy import ForwardProxy, ProxyLimits
from tests.integration.sources.social.site import LOOPBACK, Site, look_up
from tests.integration.sources.turns import turns


@dataclass
class Client:
    """A client of the proxy on `port`."""

    proxy: ForwardProxy
    port: int

    @property
    def password(self) -> str:
        return base64.b64encode(b"worker:" + self.proxy.password.encode()).decode()

    async def connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, *lines: str, body: bytes = b"", password: str | None = None) -> bytes:
        """Return everything sent in answer to a request."""
        reader, writer = await self.connection()
        sent = [*lines, f"proxy-authorization: Basic {password or self.password}"]
        writer.write("\r\n".join([*sent, "", ""]).encode() + body)
        answer = await reader.read()
        writer.close()
        return answer


@asynccontextmanager
async def proxied(*ports: int, limits: ProxyLimits | None = None) -> AsyncIterator[Client]:
    policy = EgressPolicy(frozenset({"http", "https"}), frozenset(ports), allowed_networks=LOOPBACK)
    proxy = ForwardProxy(Egress(policy, look_up), limits or ProxyLimits(down_bytes=10**8))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with proxy.serve(listener):
            yield Client(proxy, listener.getsockname()[1])


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server that echoes until its client stops sending; yields its port."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while block := await reader.read(65536):
            writer.write(block)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def tunnel(client: Client, port: int, early: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await client.connection()
    head = f"CONNECT imitation.test:{port} HTTP/1.1\r\nhost: x\r\nproxy-authorization: Basic {client.password}\r\n\r\n"
    writer.write(head.encode() + early)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    return reader, writer


async def test_a_tunnel_carries_every_byte_both_ways() -> None:
    content = os.urandom(2_000_000)
    async with echo() as port, proxied(port) as client:
        reader, writer = await tunnel(client, port, early=content[:1000])
        writer.write(content[1000:])
        assert await reader.readexactly(len(content)) == content
        writer.close()
        assert client.proxy.down_bytes == len(content)


async def test_headers_meant_for_the_proxy_are_not_forwarded(site: Site) -> None:
    site.film(b"content")
    async with proxied(site.port) as client:
        head = (f"POST {site.base}/film.mp4?a=b HTTP/1.1", "host: other", "content-length: 4", "x-own: 1")
        answer = await client.say(*head, "proxy-connection: keep-alive", "upgrade: websocket", body=b"body")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"content")
    exchange = site.server.asked[0]
    assert (exchange.target, exchange.body) == ("POST /film.mp4?a=b HTTP/1.1", b"body")
    assert exchange.headers == {
        "host": f"imitation.test:{site.port}",
        "content-length": "4",
        "x-own": "1",
        "connection": "close",
    }


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET {base}/x HTTP/1.1", 407),
        ("CONNECT imitation.test:{port} HTTP/1.1", 407),
    ],
)
async def test_nobody_else_uses_the_proxy(site: Site, line: str, status: int) -> None:
    async with proxied(site.port) as client:
        answer = await client.say(
            line.format(base=site.base, port=site.port), "host: x", password=base64.b64encode(b"worker:x").decode()
        )
    assert answer.startswith(f"HTTP/1.1 {status}".encode())
    assert not site.server.connections


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /film.mp4 HTTP/1.1", 403),
        ("GET http://inside.test:{port}/ HTTP/1.1", 403),
        ("GET file:///etc/passwd HTTP/1.1", 403),
        ("CONNECT inside.test:{port} HTTP/1.1", 403),
        ("CONNECT 169.254.169.254:{port} HTTP/1.1", 403),
        ("CONNECT [::ffff:10.0.0.1]:{port} HTTP/1.1", 403),
        ("CONNECT [::1]:{port} HTTP/1.1", 403),
        ("CONNECT imitation.test:22 HTTP/1.1", 403),
        ("CONNECT imitation.test HTTP/1.1", 400),
        ("CONNECT imitation.test:{port}x HTTP/1.1", 400),
        ("CONNECT imitation.test:" + "4" * 5000 + " HTTP/1.1", 400),
        ("GET http://imitation.test:" + "4" * 5000 + "/ HTTP/1.1", 403),
        ("CONNECT imitation.test:\u0664\u0664\u0663 HTTP/1.1", 400),
        ("PUT {base}/film.mp4 HTTP/1.1", 405),
        ("POST {base}/film.mp4 HTTP/1.1\r\ntransfer-encoding: chunked", 411),
        ("nonsense", 400),
    ],
)
async def test_what_is_refused_goes_nowhere(site: Site, line: str, status: int) -> None:
    async with proxied(site.port) as client:
        answer = await client.say(line.format(base=site.base, port=site.port), "host: x")
    assert answer.startswith(f"HTTP/1.1 {status}".encode()), answer
    assert not site.server.connections


async def test_a_body_in_one_byte_chunks_does_not_block_the_event_loop(site: Site) -> None:
    """h11 makes an object for each of them, at a thousand times the cost to a hijacked process."""
    site.film(b"content")
    async with proxied(site.port) as client:
        head = (f"POST {site.base}/film.mp4 HTTP/1.1", "host: x", "transfer-encoding: chunked")
        with turns() as seen, suppress(ConnectionError):
            await client.say(*head, body=b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n")
    assert max(seen) < 0.5
    assert not site.server.connections


async def test_a_server_that_is_away_is_a_bad_gateway() -> None:
    with socket.create_server(("127.0.0.1", 0)) as away:
        port = away.getsockname()[1]
    async with proxied(port) as client:
        answer = await client.say(f"CONNECT imitation.test:{port} HTTP/1.1", "host: x")
        assert client.proxy.refusal is not None
        assert client.proxy.refusal.code == "url_unreachable"
    assert answer.startswith(b"HTTP/1.1 502")


@pytest.mark.parametrize("sent", [b"GET http://imitation.test/ HTTP/1.1\r\nx: " + b"x" * 100_000, b"GET http://imi"])
async def test_a_head_without_an_end_is_not_waited_for(site: Site, sent: bytes) -> None:
    async with proxied(site.port, limits=ProxyLimits(10**6, head_seconds=0.5)) as client:
        reader, writer = await client.connection()
        writer.write(sent)
        assert (await reader.read())[:12] in {b"", b"HTTP/1.1 400"}
        writer.close()
    assert not site.server.connections


async def test_more_connections_than_allowed_are_dropped() -> None:
    async with echo() as port, proxied(port, limits=ProxyLimits(10**6, open_connections=2)) as client:
        held = [await tunnel(client, port) for _ in range(2)]
        reader, writer = await client.connection()
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        for _, open_writer in held:
            open_writer.close()


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (ProxyLimits(100_000), "media_too_large"),
        (ProxyLimits(10**6, up_bytes=100_000), "social_failed"),
        (ProxyLimits(10**6, stall_seconds=0.3, floor_bytes=100), "social_stalled"),
    ],
)
async def test_a_limit_ends_every_connection(limits: ProxyLimits, code: str) -> None:
    async with echo() as port, proxied(port, limits=limits) as client:
        idle, idle_writer = await tunnel(client, port)
        reader, writer = await tunnel(client, port)
        if code != "social_stalled":
            writer.write(bytes(200_000))
        assert (await client.proxy.failure).code == code
        assert len(await reader.read()) <= 100_000
        assert await idle.read() == b""
        idle_writer.close()
        writer.close()


async def test_the_end_of_the_server_is_the_end_of_the_tunnel() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with proxied(port) as client:
            reader, writer = await tunnel(client, port)
            assert await reader.read() == b"bye"
            writer.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_server_that_stops_reading_costs_no_descriptor() -> None:
    """asyncio keeps a closed connection until its peer has read everything."""
    before = descriptors()
    with socket.create_server(("127.0.0.1", 0), backlog=16) as deaf:  # connected by the kernel, never accepted
        port = deaf.getsockname()[1]
        async with proxied(port, limits=ProxyLimits(10**6, up_bytes=10**9, stall_seconds=1)) as client:
            writers = []
            for _ in range(4):
                _, writer = await tunnel(client, port)
                writer.write(bytes(20_000_000))
                writers.append(writer)
            assert (await client.proxy.failure).code == "social_stalled"
        for writer in writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
    assert descriptors() == before


async def test_a_client_that_stops_reading_costs_no_descriptor() -> None:
    pouring: list[asyncio.Task[None] | None] = []

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pouring.append(asyncio.current_task())
        with suppress(OSError):
            while True:
                writer.write(bytes(100_000))
                await writer.drain()
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(pour, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        before = descriptors()
        async with proxied(port, limits=ProxyLimits(10**9, stall_seconds=1)) as client:
            head = (
                f"CONNECT imitation.test:{port} HTTP/1.1\r\nhost: x\r\n"
                f"proxy-authorization: Basic {client.password}\r\n\r\n"
            )
            held = [socket.create_connection(("127.0.0.1", client.port)) for _ in range(4)]
            for one in held:
                one.sendall(head.encode())
            assert (await client.proxy.failure).code == "social_stalled"
        await asyncio.wait_for(asyncio.gather(*filter(None, pouring)), 20)
        assert descriptors() == before + len(held)
        for one in held:
            one.close()
