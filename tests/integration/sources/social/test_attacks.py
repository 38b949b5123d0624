"""Attacks by posts, sites and a hijacked process; the target beside the site sees no request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sentinel_worker.confine import bare_process
from sentinel_worker.domain.errors import Permanent, Transient
from sentinel_worker.sources.egress import Egress
from sentinel_worker.sources.social.fetcher import Social
from tests.integration.sources.social.site import Site, fetcher, social
from tests.integration.sources.social.test_social import CONTENT, fetch, refused
from tests.integration.sources.unruly import Exchange, Unruly, unruly_server
from tests.matrix import sampled

IMITATION = "tests.integration.sources.social.imitation"
# Like a container's system call filter.
BOOT_WITHOUT_NAMESPACES = bare_process.program(
    IMITATION,
    "import ctypes; from pathlib import Path; "
    "from sentinel_worker.confine import sandbox, seccomp; "
    "from sentinel_worker.confine.layers import Limits, Walls; "
    "sandbox._prctl(38, 1); "
    "assert seccomp.install_filter(sandbox._libc, Walls(Path('/'), Limits(0, 0), network='own_namespace')) is None; ",
)
BOOT_WITHOUT_LANDLOCK = bare_process.program(
    IMITATION, "from tests.integration.media.poor_kernel import refuse; refuse(['landlock']); "
)


@pytest.fixture
async def target() -> AsyncIterator[Unruly]:
    """Stands for a service of the worker's own network; its port is not one of those allowed."""

    async def answer(exchange: Exchange) -> None:
        await exchange.answer("200 OK", b"the secret")

    async with unruly_server() as server:
        server.behave = [answer]
        yield server


def port_of(server: Unruly) -> int:
    return int(server.url.rpartition(":")[2])


FORBIDDEN = [
    "http://127.0.0.1:{target}/",
    "http://imitation.test:{target}/",
    "http://[::1]:{site}/",
    "http://[::ffff:10.0.0.1]:{site}/",
    "http://169.254.169.254:{site}/latest/meta-data/",
    "http://metadata.test:{site}/latest/meta-data/",
    "http://inside.test:{site}/",
    "http://10.0.0.1:{site}/",
    "http://0x7f000001:{site}/",
    "http://2130706433:{site}/",
    "ftp://imitation.test:{site}/film.mp4",
]


@pytest.mark.parametrize("url", FORBIDDEN)
async def test_media_elsewhere_is_refused_by_the_proxy(site: Site, target: Unruly, private: Path, url: str) -> None:
    media = url.format(target=port_of(target), site=site.port)
    error = await refused(site, site.post("x", url=media, ext="mp4"), private)
    assert error.code == ("social_no_video" if url.startswith("ftp") else "url_refused")
    assert (len(target.asked), site.asked) == (0, ["GET /api/x"])


REDIRECTS = [(of, url) for url in FORBIDDEN for of in ("page", "media")]
REDIRECTS_SAMPLE = [(("page", "media")[place % 2], url) for place, url in enumerate(FORBIDDEN)]


@pytest.mark.parametrize("redirect", sampled("sources", REDIRECTS, REDIRECTS_SAMPLE), ids="-".join)
async def test_redirects_are_checked_too(site: Site, target: Unruly, private: Path, redirect: tuple[str, str]) -> None:
    of, url = redirect

    async def away(exchange: Exchange) -> None:
        await exchange.answer("302 Found", b"", location=url.format(target=port_of(target), site=site.port))

    post = site.post("x", url=f"{site.base}/film.mp4")
    site.pages["/api/x" if of == "page" else "/film.mp4"] = away
    error = await refused(site, post, private)
    assert error.code in {"url_refused", "social_failed"}
    assert not target.asked
    assert set(site.asked) <= {"GET /api/x", "GET /film.mp4"}


async def test_parts_of_a_playlist_are_checked_too(site: Site, target: Unruly, private: Path) -> None:
    lines = ["#EXTM3U", "#EXTINF:2,", f"{target.url}/1.ts", "#EXTINF:2,", "file:///etc/passwd", "#EXT-X-ENDLIST"]
    playlist = site.film("\n".join(lines).encode(), "/film.m3u8")
    url = site.post("x", formats=[{"url": playlist, "protocol": "m3u8", "ext": "mp4"}])
    assert (await refused(site, url, private)).code == "url_refused"
    assert not target.asked


async def test_a_key_of_a_playlist_is_checked_too(site: Site, target: Unruly, private: Path) -> None:
    lines = ["#EXTM3U", f'#EXT-X-KEY:METHOD=AES-128,URI="{target.url}/key"', "#EXTINF:2,", site.film(CONTENT, "/1.ts")]
    playlist = site.film("\n".join([*lines, "#EXT-X-ENDLIST"]).encode(), "/film.m3u8")
    url = site.post("x", formats=[{"url": playlist, "protocol": "m3u8", "ext": "mp4"}])
    assert (await refused(site, url, private)).code == "url_refused"
    assert not target.asked


async def test_a_name_is_looked_up_once_for_each_connection(site: Site, private: Path) -> None:
    """The second answer would be in this network: it is checked before the second connection, which is never made."""
    answers = ["127.0.0.1", "10.0.0.1"]

    async def rebinding(host: str, port: int) -> list[str]:
        return [answers.pop(0)]

    rebound = social(Egress(fetcher(site.port).egress.policy, rebinding))
    error = await refused(site, site.post("x", url=site.film(CONTENT)), private, rebound)
    assert (error.code, answers, site.asked) == ("url_refused", [], ["GET /api/x"])


@pytest.mark.parametrize("host", ["imitation.test:1", "me:secret@imitation.test:{site}", "imitation.test:{site}\\@x"])
async def test_a_url_that_the_policy_refuses_starts_no_process(site: Site, private: Path, host: str) -> None:
    url = f"http://{host.format(site=site.port)}/post/x"
    error = await refused(site, url, private, fetcher(site.port, boot="raise SystemExit"))
    assert (error.code, site.asked) == ("url_refused", [])


async def misbehave(site: Site, private: Path, port: int, shared: Social | None = None) -> dict[str, str]:
    """The report of a hijacked process on what it can do."""
    (private.parent / "secret").write_text("the secret")
    reports: list[dict[str, str]] = []

    async def report(exchange: Exchange) -> None:
        reports.append(json.loads(exchange.body))
        await exchange.answer("200 OK", b"")

    unix, datagrams = str(private.parent / "u"), str(private.parent / "log")
    with (
        contextlib.closing(socket.socket(socket.AF_UNIX)) as listener,
        contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as system_log,
    ):
        listener.bind(unix)
        listener.listen()
        system_log.bind(datagrams)
        before = private.stat()
        site.pages["/report"] = report
        url = site.post(
            "x",
            do="misbehave",
            port=port,
            unix=unix,
            log=datagrams,
            secret=str(private.parent / "secret"),
            beside=str(private.parent / "beside"),
            limit_bytes=1_000_000,
        )
        await refused(site, url, private, shared, limit_bytes=1_000_000)
        with pytest.raises(BlockingIOError):
            system_log.recv(1, socket.MSG_DONTWAIT)
    assert private.stat().st_mode == before.st_mode
    assert not (private.parent / "beside").exists()
    assert len(reports) == 1
    return reports[0]


COMMON = {
    "udp": "EPERM",
    "unix": "EPERM",
    "datagram by a pair": "EPERM",
    "netlink": "EPERM",
    "packet": "EPERM",
    "name": "gaierror",
    "exec": "EPERM",
    "fork": "EPERM",
    "read": "EACCES",
    "write": "EACCES",
    "chmod": "EPERM",
    "utime": "EPERM",
    "setxattr": "EPERM",
    "environment": "EACCES",
    "kill": "EPERM",
    "big": "EFBIG",
    "memory": "MemoryError",
    "thread": "done",
    "own environment": "KeyError",
    "arguments": "EACCES",
}


async def test_a_process_that_was_taken_over_gets_nowhere(site: Site, target: Unruly, private: Path) -> None:
    found = await misbehave(site, private, port_of(target))
    assert found.pop("tcp") == "ECONNREFUSED"  # nobody listens in its own namespace
    assert found.pop("tcp6") in {"ECONNREFUSED", "EADDRNOTAVAIL"}
    assert found == COMMON
    assert not target.asked


async def test_a_process_that_fills_the_disk_is_ended(
    site: Site, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many files, each below the kernel's limit."""
    monkeypatch.setattr("sentinel_worker.sources.social.fetcher.PAGES_BYTES", 1_000_000)
    error = await refused(site, site.post("x", do="fill", bytes_each=100_000), private, limit_bytes=1_000_000)
    assert error.code == "media_too_large"


@pytest.mark.parametrize("page", [{"do": "fill_with_nothing"}, {"do": "go_deep", "levels": 5000}])
async def test_what_takes_no_space_is_ended_too(site: Site, private: Path, page: dict[str, Any]) -> None:
    assert (await refused(site, site.post("x", **page), private)).code == "media_too_large"


async def test_a_full_disk_is_seen_by_the_worker_itself(
    site: Site, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs no attempt, so a process that fakes one could be retried forever."""
    url = site.post("x", do="claim_a_full_disk")
    assert (await refused(site, url, private)).code == "social_failed"
    monkeypatch.setattr("sentinel_worker.sources.social.fetcher.FULL_BELOW_BYTES", 2**63)
    assert (await refused(site, url, private)).code == "disk_full"


async def test_without_a_namespace_no_post_is_fetched(site: Site, private: Path) -> None:
    error = await refused(
        site, site.post("x", url=site.film(CONTENT)), private, fetcher(site.port, boot=BOOT_WITHOUT_NAMESPACES)
    )
    assert (type(error), error.code) == (Permanent, "social_not_confined")
    assert not site.asked


async def test_without_a_namespace_the_operator_may_allow_it(site: Site, private: Path) -> None:
    shared = fetcher(site.port, boot=BOOT_WITHOUT_NAMESPACES, without_namespace=True)
    fetched = await fetch(site, site.post("x", url=site.film(CONTENT)), private, shared)
    assert fetched.size_bytes == len(CONTENT)


async def test_without_a_namespace_the_proxy_is_still_the_only_way(site: Site, target: Unruly, private: Path) -> None:
    shared = fetcher(site.port, boot=BOOT_WITHOUT_NAMESPACES, without_namespace=True)
    found = await misbehave(site, private, port_of(target), shared)
    assert (found.pop("tcp"), found.pop("tcp6")) == ("EACCES", "EACCES")  # Landlock, from version 4 on
    assert found.pop("environment") in {"EACCES", "EPERM"}
    alike = ("udp", "unix", "datagram by a pair", "netlink", "exec", "fork", "read", "write", "chmod", "kill")
    assert {name: found[name] for name in alike} == {name: COMMON[name] for name in alike}
    assert not target.asked


@pytest.mark.parametrize("without_namespace", [False, True])
async def test_without_landlock_no_post_is_fetched(site: Site, private: Path, without_namespace: bool) -> None:
    """It could read the worker's files, and send them through the proxy."""
    poor = fetcher(site.port, boot=BOOT_WITHOUT_LANDLOCK, without_namespace=without_namespace)
    error = await refused(site, site.post("x", url=site.film(CONTENT)), private, poor)
    assert (type(error), error.code) == (Permanent, "social_not_confined")
    assert not site.asked


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """It is signed only by its own key."""
    path = tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=imitation.test", "-addext", "subjectAltName=DNS:imitation.test"]
    keys = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(path), "-out", str(path) + ".crt"]
    subprocess.run(["openssl", "req", "-x509", "-days", "2", *keys, *subject], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


async def test_certificates_are_checked_by_the_process_itself(certificate: Path, site: Site, private: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    spoken: list[bytes] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        spoken.append(await reader.read(100))
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        error = await refused(site, f"https://imitation.test:{port}/post/x", private, fetcher(port))
    assert (type(error), error.code) == (Transient, "social_unreachable")
    assert not spoken
