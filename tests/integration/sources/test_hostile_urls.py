"""Attacks by a URL's destination: by address, name, redirect, port, credentials and spelling."""

from __future__ import annotations

import functools
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from sentinel_worker.domain.errors import CodedError, Permanent
from sentinel_worker.sources import url
from sentinel_worker.sources.egress import Egress
from tests.integration.sources.scene import CONTENT, HERE, THERE, Scene
from tests.integration.sources.unruly import Exchange, unruly_server


async def test_the_target_can_be_reached_by_those_who_may(tmp_path: Path) -> None:
    """Shows that the other tests would notice a missing check."""
    async with unruly_server(THERE) as target:
        target.behave = [functools.partial(Exchange.serve, content=CONTENT)]
        rules = url.UrlRules.of_operator()
        await url.fetch(target.url, rules=rules, directory=tmp_path, limit_bytes=10**6)
        assert target.connections == 1


async def test_a_name_is_fetched_from_its_checked_address(scene: Scene) -> None:
    found = await scene.fetch(f"http://attacker.example:{scene.attacker.port}/a.mp4?token=hidden")
    assert found.size_bytes == len(CONTENT)
    assert found.source_url == f"http://attacker.example:{scene.attacker.port}/a.mp4"
    (asked,) = scene.attacker.asked
    assert asked.headers["host"] == f"attacker.example:{scene.attacker.port}"
    assert asked.target == "GET /a.mp4?token=hidden HTTP/1.1"
    assert scene.names.asked == ["attacker.example"]


async def test_the_next_address_is_tried_where_one_does_not_answer(scene: Scene) -> None:
    scene.names.answers["attacker.example"] = [["127.0.0.9", HERE]]
    policy = replace(scene.rules.egress.policy, allowed_networks=(ip_network(HERE), ip_network("127.0.0.9")))
    found = await scene.fetch(f"http://attacker.example:{scene.attacker.port}/", egress=Egress(policy, scene.names))
    assert found.size_bytes == len(CONTENT)
    assert scene.names.asked == ["attacker.example"]


FORBIDDEN = [
    "169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "100.100.100.200", "127.0.0.1",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::1]", "0.0.0.0", "[::]", "10.0.0.1", "192.168.1.1",  # noqa: S104
    "100.64.0.1", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "224.0.0.1", "198.18.0.1", "240.0.0.1",
]  # fmt: skip
SPELLINGS = ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.0.0.1", "017700000001", "127.0.0.1.",
             "127。0。0。1", "１２７.0.0.1", "127.0.0.%31", "[::ffff:127.0.0.1%25lo]"]  # fmt: skip


def to(scene: Scene, host: str) -> str:
    return f"http://{host}:{scene.target.port}/latest/meta-data?token=hidden"


@pytest.mark.parametrize("host", FORBIDDEN + SPELLINGS)
async def test_a_url_with_a_private_address(scene: Scene, host: str) -> None:
    refused = await scene.refusal(to(scene, host))
    assert (type(refused), refused.code) == (Permanent, "url_refused")


@pytest.mark.parametrize("host", FORBIDDEN + SPELLINGS)
async def test_a_redirect_to_a_private_address(scene: Scene, host: str) -> None:
    scene.redirecting(to(scene, host))
    refused = await scene.refusal()
    assert (type(refused), refused.code) == (Permanent, "url_refused")
    assert scene.attacker.connections == 1


async def test_a_mapped_address_is_the_one_inside(scene: Scene) -> None:
    """::ffff:127.0.0.2 is 127.0.0.2: allowed here with it, refused by default."""
    assert (await scene.fetch(f"http://[::ffff:{HERE}]:{scene.attacker.port}/")).size_bytes == len(CONTENT)
    closed = Egress(replace(scene.rules.egress.policy, allowed_networks=()), scene.names)
    assert (await scene.refusal(f"http://[::ffff:{HERE}]:{scene.attacker.port}/", egress=closed)).code == "url_refused"
    assert scene.attacker.connections == 1


@pytest.mark.parametrize("address", [h.strip("[]") for h in FORBIDDEN])
async def test_a_name_that_leads_to_a_private_address(scene: Scene, address: str) -> None:
    scene.names.answers["inside.example"] = [[address]]
    refused = await scene.refusal(to(scene, "inside.example"))
    assert (type(refused), refused.code) == (Permanent, "url_refused")
    assert address not in refused.message
    scene.redirecting(to(scene, "inside.example"))
    assert (await scene.refusal()).code == "url_refused"
    assert scene.attacker.connections == 1


async def test_a_name_that_rebinds_is_looked_up_once(scene: Scene) -> None:
    """The second answer, which a client that looks up again would connect to, is never requested."""
    scene.names.answers["rebind.example"] = [[HERE], [THERE]]
    found = await scene.fetch(f"http://rebind.example:{scene.attacker.port}/")
    assert found.size_bytes == len(CONTENT)
    assert scene.names.asked == ["rebind.example"]


async def test_a_name_that_rebinds_between_redirects(scene: Scene) -> None:
    scene.names.answers["rebind.example"] = [[HERE], [THERE]]
    scene.redirecting(to(scene, "rebind.example"))
    refused = await scene.refusal(f"http://rebind.example:{scene.attacker.port}/")
    assert (type(refused), refused.code) == (Permanent, "url_refused")
    assert scene.names.asked == ["rebind.example"] * 2


async def test_a_name_with_a_public_and_a_forbidden_address(scene: Scene) -> None:
    scene.names.answers["both.example"] = [[HERE, THERE]]
    assert (await scene.refusal(to(scene, "both.example"))).code == "url_refused"
    assert scene.attacker.connections == 0


@pytest.mark.parametrize("user", ["hidden", "hidden:hidden", "attacker.example%20", "", ":"])
async def test_credentials(scene: Scene, user: str) -> None:
    for address in (f"http://{user}@{THERE}:{scene.target.port}/", f"http://{user}@attacker.example/"):
        assert (await scene.refusal(address)).code == "url_refused"
    scene.redirecting(f"http://{user}@attacker.example:{scene.attacker.port}/")
    refused = await scene.refusal()
    assert (refused.code, "password" in refused.message) == ("url_refused", True)


@pytest.mark.parametrize("port", [0, 1, 22, 25, 5432, 6379, 65536, 99999])
async def test_odd_ports(scene: Scene, port: int) -> None:
    assert (await scene.refusal(f"http://attacker.example:{port}/")).code == "url_refused"
    scene.redirecting(f"http://attacker.example:{port}/")
    assert (await scene.refusal()).code == "url_refused"
    assert scene.names.asked == []


@pytest.mark.parametrize(
    "scheme", ["file:///etc/passwd", "gopher://127.0.0.1/_x", "ftp://127.0.0.1/", "data:,x", "FILE:/x"]
)
async def test_redirects_to_other_schemes(scene: Scene, scheme: str) -> None:
    scene.redirecting(scheme)
    assert (await scene.refusal()).code == "url_refused"


@pytest.mark.parametrize(
    "location",
    ["//{}/x", "///{}/x", "/\\{}/x", "\\\\{}\\x", "http:{}/x", "http:/{}/x", "http:\\\\{}/", "\thttp://{}/", "?http://{}",
     "http://attacker.example\\@{}/", "http://attacker.example@{}/", "http://attacker.example#@{}/",
     "http://attacker.example/?@{}/", "javascript://{}/"],
)  # fmt: skip
async def test_redirects_that_readers_read_differently(scene: Scene, location: str) -> None:
    """No redirect reaches the target."""
    scene.redirecting(location.format(f"{THERE}:{scene.target.port}"))
    with suppress(CodedError):
        await scene.fetch(f"{scene.attacker.url}/film.mp4")
    assert set(scene.names.asked) <= {"attacker.example"}


async def test_redirects_without_end(scene: Scene) -> None:
    scene.attacker.behave = [functools.partial(Exchange.answer, status="302 Found", body=b"", location="/again")]
    refused = await scene.refusal()
    assert (type(refused), refused.code) == (Permanent, "url_unusable")
    assert scene.attacker.connections == scene.rules.max_redirects + 1
