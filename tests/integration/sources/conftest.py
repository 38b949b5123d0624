"""Fixtures for hostile URLs. After each test the target has seen no connection, and no descriptor is left open."""

from __future__ import annotations

import functools
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from sentinel_worker.sources import url
from sentinel_worker.sources.egress import Egress
from sentinel_worker.sources.egress_policy import EgressPolicy
from tests.integration.sources.scene import CONTENT, HERE, THERE, TLS, Names, Scene
from tests.integration.sources.unruly import Exchange, unruly_server


@pytest.fixture
def no_second_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail look-ups by the system: such a name was not checked, and the look-up would leave this machine."""
    real = socket.getaddrinfo

    def addresses_only(host: Any, *arguments: Any, **options: Any) -> Any:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)  # raises OSError for a name
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", addresses_only)


@pytest.fixture
async def scene(tmp_path: Path, no_second_look_up: None) -> AsyncIterator[Scene]:
    private = tmp_path / "private"
    private.mkdir()
    before = descriptors()
    names = Names({"attacker.example": [[HERE]]})
    async with unruly_server(HERE) as attacker, unruly_server(THERE) as target:
        for server in (attacker, target):
            server.behave = [functools.partial(Exchange.serve, content=CONTENT)]
        policy = EgressPolicy(
            schemes=frozenset({"http", "https"}),
            ports=frozenset({attacker.port, target.port, 80, 443}),
            allowed_networks=(ip_network(HERE),),
        )
        yield Scene(attacker, target, names, url.UrlRules(Egress(policy, names), tls=TLS), private)
        assert target.connections == 0
    assert descriptors() <= before


def descriptors() -> set[str]:
    """The open descriptors of this process."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}
