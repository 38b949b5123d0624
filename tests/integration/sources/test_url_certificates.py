"""Certificates are verified for the name, although the connection goes to an address."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest
import trustme

from sentinel_worker.domain.errors import Permanent, Transient
from sentinel_worker.sources import url
from sentinel_worker.sources.egress import Egress
from tests.integration.sources.scene import CONTENT, HERE, Scene
from tests.integration.sources.unruly import Exchange, Unruly, unruly_server


@dataclass
class Authority:
    """Certificates for names, from an authority that the worker trusts."""

    ca: trustme.CA = field(default_factory=trustme.CA)

    @property
    def trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context

    def serving(self, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(name).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def at_tls(
    scene: Scene, serving: ssl.SSLContext, trusting: ssl.SSLContext, act: Callable[[str], Awaitable[None]]
) -> Unruly:
    async with unruly_server(HERE, serving) as server:
        server.behave = [functools.partial(Exchange.serve, content=CONTENT)]
        policy = replace(scene.rules.egress.policy, ports=frozenset({server.port, scene.attacker.port}))
        scene.rules = replace(scene.rules, egress=Egress(policy, scene.names), tls=trusting)
        await act(f"https://attacker.example:{server.port}/film.mp4")
    return server


async def test_a_certificate_is_verified_for_the_name(scene: Scene, authority: Authority) -> None:
    async def fetched(address: str) -> None:
        assert (await scene.fetch(address)).size_bytes == len(CONTENT)

    server = await at_tls(scene, authority.serving("attacker.example"), authority.trusting, fetched)
    assert server.asked[0].headers["host"] == f"attacker.example:{server.port}"


@pytest.mark.parametrize("wrong", ["another name", "another authority", "the address"])
async def test_a_wrong_certificate(scene: Scene, authority: Authority, wrong: str) -> None:
    serving = authority.serving({"another name": "other.example", "the address": HERE}.get(wrong, "attacker.example"))
    trusting = Authority().trusting if wrong == "another authority" else authority.trusting

    async def refused(address: str) -> None:
        error = await scene.refusal(address)
        assert (type(error), error.code) == (Permanent, "url_untrusted")

    server = await at_tls(scene, serving, trusting, refused)
    assert server.asked == []


async def test_a_default_set_of_rules_verifies() -> None:
    tls = url.UrlRules.of_operator().tls
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)


async def test_https_does_not_lead_to_http(scene: Scene, authority: Authority) -> None:
    async with unruly_server(HERE, authority.serving("attacker.example")) as server:
        server.behave = [
            functools.partial(Exchange.answer, status="302 Found", body=b"", location=f"{scene.attacker.url}/")
        ]
        policy = replace(scene.rules.egress.policy, ports=frozenset({server.port, scene.attacker.port}))
        egress = Egress(policy, scene.names)
        refused = await scene.refusal(f"https://attacker.example:{server.port}/", egress=egress, tls=authority.trusting)
    assert (type(refused), refused.code) == (Permanent, "url_refused")
    assert "https to http" in refused.message
    assert scene.attacker.connections == 0


async def test_a_handshake_that_never_ends(scene: Scene) -> None:
    """A server that accepts connections and says nothing. The scene checks that none stays open."""
    policy = replace(scene.rules.egress.policy, ports=frozenset({scene.attacker.port}))
    egress = Egress(policy, scene.names)
    refused = await scene.refusal(f"https://attacker.example:{scene.attacker.port}/", egress=egress, answer_seconds=0.3)
    assert (type(refused), refused.code) == (Transient, "url_stalled")
