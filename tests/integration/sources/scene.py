"""An attacker's own server at 127.0.0.2, their target at 127.0.0.1, and a worker between them.

The attacker's server is allowed, but only by its address; 127.0.0.1 stays forbidden like every loopback address. The
test resolves names itself: the system's resolver is never asked.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from sentinel_worker.domain.errors import CodedError
from sentinel_worker.sources import url
from sentinel_worker.sources.fetched import Fetched
from tests.integration.sources.unruly import Exchange, Unruly

HERE, THERE = "127.0.0.2", "127.0.0.1"
CONTENT = os.urandom(200_000)
TLS = httpx.create_ssl_context()


@dataclass
class Names:
    """A resolver: the answers for each name in turn, the last one repeated."""

    answers: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self.answers[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@dataclass
class Scene:
    """The attacker's server, their target, and the rules of the worker between them."""

    attacker: Unruly
    target: Unruly
    names: Names
    rules: url.UrlRules
    private: Path

    async def fetch(self, address: str, limit_bytes: int = 10**6, **changes: Any) -> Fetched:
        rules = replace(self.rules, **changes)
        return await url.fetch(address, rules=rules, directory=self.private, limit_bytes=limit_bytes)

    async def refusal(self, address: str | None = None, limit_bytes: int = 10**6, **changes: Any) -> CodedError:
        with pytest.raises(CodedError) as caught:
            await self.fetch(address or f"{self.attacker.url}/film.mp4?token=hidden", limit_bytes, **changes)
        assert "hidden" not in caught.value.message
        return caught.value

    def answering(self, answer: bytes) -> None:
        """Let the attacker's server send exactly this and close the connection."""
        self.attacker.behave = [functools.partial(say, answer=answer)]

    def redirecting(self, location: str) -> None:
        redirect = functools.partial(Exchange.answer, status="302 Found", body=b"", location=location)
        self.attacker.behave = [redirect, functools.partial(Exchange.serve, content=CONTENT)]


async def say(exchange: Exchange, answer: bytes) -> None:
    exchange.writer.write(answer)
    await exchange.writer.drain()
