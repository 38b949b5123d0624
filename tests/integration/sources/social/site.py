"""The imitated site's server, and a fetcher whose network allowlist has only loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from sentinel_worker.sources.egress import Egress
from sentinel_worker.sources.egress_policy import EgressPolicy
from sentinel_worker.sources.social.catalogue import find_extractors
from sentinel_worker.sources.social.fetcher import Social
from tests.integration.sources.social.imitation import BOOT, HOST, SITE, register
from tests.integration.sources.unruly import Exchange, Unruly, unruly_server

Serve = Callable[[Exchange], Awaitable[None]]
LOOPBACK = (ip_network("127.0.0.0/8"),)


@dataclass
class Site:
    """Pages by path, over http on loopback; the name `imitation.test` resolves to it."""

    server: Unruly
    port: int
    pages: dict[str, Serve] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def asked(self) -> list[str]:
        """Method and path of every request so far."""
        return [exchange.target.rpartition(" ")[0] for exchange in self.server.asked]

    def post(self, name: str, **page: Any) -> str:
        """Add a post with this page; return its URL."""
        body = json.dumps(page).encode()

        async def answer(exchange: Exchange) -> None:
            await exchange.answer("200 OK", body, content_type="application/json")

        self.pages[f"/api/{name}"] = answer
        return f"{self.base}/post/{name}"

    def film(self, content: bytes, path: str = "/film.mp4") -> str:
        async def answer(exchange: Exchange) -> None:
            await exchange.serve(content)

        self.pages[path] = answer
        return self.base + path

    async def serve(self, exchange: Exchange) -> None:
        path = urlsplit(exchange.target.split(" ")[1]).path
        if path in self.pages:
            await self.pages[path](exchange)
        else:
            await exchange.answer("404 Not Found", b"")


@asynccontextmanager
async def running_site() -> AsyncIterator[Site]:
    """Serve on a free port of 127.0.0.1."""
    async with unruly_server() as server:
        port = urlsplit(server.url).port
        assert port is not None
        site = Site(server, port)
        server.behave = [site.serve]
        yield site


async def look_up(host: str, port: int) -> Sequence[str]:
    """Resolve the tests' names without a real look-up."""
    return {"imitation.test": ["127.0.0.1"], "inside.test": ["10.0.0.1"], "metadata.test": ["169.254.169.254"]}[host]


def fetcher(*ports: int, **options: Any) -> Social:
    """A fetcher for the imitated site at `ports` of this machine, and nothing else."""
    policy = EgressPolicy(frozenset({"http", "https"}), frozenset(ports), allowed_networks=LOOPBACK)
    return social(Egress(policy, look_up), **options)


def social(egress: Egress, *, boot: str = BOOT, limit_seconds: float = 3600, **options: Any) -> Social:
    """A fetcher for only the imitated site."""
    register()
    return Social(egress, (SITE,), find_extractors([SITE]), limit_seconds=limit_seconds, boot=boot, **options)
