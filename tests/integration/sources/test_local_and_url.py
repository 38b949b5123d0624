"""Files of this machine and of http(s) addresses: stored whole and private, or refused in one sentence."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sentinel_worker.domain.errors import CodedError, Permanent, Transient
from sentinel_worker.sources import local, url
from sentinel_worker.sources.fetched import Fetched
from sentinel_worker.sources.minimum_speed import MinimumSpeed
from tests.integration.sources.unruly import Exchange, Unruly, unruly_server

CONTENT = os.urandom(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def private(tmp_path: Path) -> Path:
    folder = tmp_path / "private"
    folder.mkdir()
    return folder


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
async def server() -> AsyncIterator[Unruly]:
    async with unruly_server() as unruly:
        unruly.behave = [functools.partial(Exchange.serve, content=CONTENT)]
        yield unruly


async def test_a_file_is_copied_and_hashed(original: Path, private: Path) -> None:
    shares: list[float] = []
    fetched = await local.copy(original, directory=private, limit_bytes=len(CONTENT), on_progress=shares.append)
    assert fetched == Fetched(private / "media", len(CONTENT), SHA256)
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.path.stat().st_mode & 0o777 == 0o600
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


async def copy_refused(path: Path, private: Path, limit_bytes: int = 10**9) -> CodedError:
    with pytest.raises(Permanent) as refused:
        await local.copy(path, directory=private, limit_bytes=limit_bytes)
    return refused.value


async def test_a_file_above_the_limit_is_not_copied(original: Path, private: Path) -> None:
    assert (await copy_refused(original, private, len(CONTENT) - 1)).code == "media_too_large"
    assert list(private.iterdir()) == []


async def test_a_file_that_grows_does_not_grow_above_the_limit(original: Path, private: Path) -> None:
    def grow(_: float) -> None:
        with original.open("ab") as file:
            file.write(bytes(2_000_000))

    with pytest.raises(Permanent, match="larger than the allowed 4000000 bytes"):
        await local.copy(original, directory=private, limit_bytes=4_000_000, on_progress=grow)


async def test_a_file_without_a_size_is_copied(private: Path) -> None:
    """Files that the kernel generates have no size beforehand."""
    shares: list[float] = []
    fetched = await local.copy(
        Path("/proc/self/status"), directory=private, limit_bytes=10**6, on_progress=shares.append
    )
    assert fetched.size_bytes > 100
    assert shares[-1] == 1.0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Path.mkdir, "is not a file"),
        (os.mkfifo, "is not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a file"),
        (lambda path: path.symlink_to("nowhere"), "cannot be read: No such file or directory"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
    ],
)
async def test_anything_but_a_file_is_refused_at_once(
    tmp_path: Path, private: Path, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "thing"
    make(path)
    refused = await copy_refused(path, private)
    assert (refused.code, refused.message) == ("file_unreadable", f"{path} {said}.")
    assert list(private.iterdir()) == []


async def test_names_that_no_file_has(tmp_path: Path, private: Path) -> None:
    assert "File name too long" in (await copy_refused(tmp_path / ("n" * 300), private)).message
    assert "Not a directory" in (await copy_refused(Path("/dev/null/film.mp4"), private)).message


async def test_a_file_that_breaks_while_it_is_read(private: Path) -> None:
    # The memory of a process: a regular file with an I/O error at its first byte.
    refused = await copy_refused(Path("/proc/self/mem"), private)
    assert (refused.code, "Input/output error" in refused.message) == ("file_unreadable", True)


RULES = url.UrlRules.of_operator()


async def fetched(address: str, private: Path, **changes: Any) -> Fetched:
    defaults: dict[str, Any] = {"limit_bytes": 10**8, "rules": RULES}
    return await url.fetch(address, directory=private, **(defaults | changes))


async def refusal(address: str, private: Path, **changes: Any) -> CodedError:
    with pytest.raises(CodedError) as refused:
        await fetched(address, private, **changes)
    assert "secret" not in refused.value.message
    assert "secret" not in str(refused.value)
    return refused.value


def with_secrets(server: Unruly) -> str:
    return server.url + "/film.mp4?token=secret#secret"


async def test_an_address_is_fetched(server: Unruly, private: Path) -> None:
    shares: list[float] = []
    found = await fetched(with_secrets(server), private, on_progress=shares.append)
    shown = f"{server.url}/film.mp4"
    assert found == Fetched(private / "media", len(CONTENT), SHA256, '"a"', source_url=shown)
    assert found.path.read_bytes() == CONTENT
    assert (shares == sorted(shares), shares[-1]) == (True, 1.0)
    (asked,) = server.asked
    assert asked.target == "GET /film.mp4?token=secret HTTP/1.1"
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["user-agent"].startswith("sentinel-worker/")


async def streamed(exchange: Exchange, content: bytes = CONTENT, **headers: str) -> None:
    """An answer without a length ends with the connection."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    exchange.writer.write(f"HTTP/1.1 200 OK\r\n{lines}connection: close\r\n\r\n".encode() + content)
    await exchange.writer.drain()


async def test_an_answer_without_a_length(server: Unruly, private: Path) -> None:
    server.behave = [streamed]
    shares: list[float] = []
    found = await fetched(server.url, private, on_progress=shares.append)
    assert (found.sha256, found.etag, shares) == (SHA256, None, [])


async def test_limits_with_and_without_a_length(server: Unruly, private: Path) -> None:
    refused = await refusal(with_secrets(server), private, limit_bytes=len(CONTENT) - 1)
    assert (type(refused), refused.code) == (Permanent, "media_too_large")
    assert list(private.iterdir()) == []  # the length is trusted at once
    server.behave = [streamed]
    refused = await refusal(server.url, private, limit_bytes=len(CONTENT) - 1)
    assert refused.code == "media_too_large"
    assert (private / "media").stat().st_size < len(CONTENT)


async def test_redirects_are_followed(server: Unruly, private: Path) -> None:
    onwards = [functools.partial(Exchange.answer, status="302 Found", body=b"", location=f"/{n}") for n in range(5)]
    server.behave = [*onwards, functools.partial(Exchange.serve, content=CONTENT)]
    assert (await fetched(server.url, private)).sha256 == SHA256
    assert len(server.asked) == 6


async def test_too_many_redirects(server: Unruly, private: Path) -> None:
    server.behave = [functools.partial(Exchange.answer, status="302 Found", body=b"", location="/again")]
    refused = await refusal(with_secrets(server), private)
    assert (type(refused), refused.code) == (Permanent, "url_unusable")
    assert refused.message == "The server of 127.0.0.1 redirects more than 5 times."
    assert len(server.asked) == 6


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
async def test_a_redirect_to_another_scheme(server: Unruly, private: Path, location: str) -> None:
    server.behave = [functools.partial(Exchange.answer, status="302 Found", body=b"", location=location)]
    assert (await refusal(with_secrets(server), private)).code == "url_refused"


@pytest.mark.parametrize("location", ["", "http://[/", "//[", "/a\tb"])
async def test_a_redirect_to_nowhere(server: Unruly, private: Path, location: str) -> None:
    server.behave = [functools.partial(Exchange.answer, status="302 Found", body=b"", location=location)]
    assert (await refusal(with_secrets(server), private)).code in {"url_refused", "url_unusable"}


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        ("403 Forbidden", Permanent, "url_forbidden"),
        ("401 Unauthorized", Permanent, "url_forbidden"),
        ("404 Not Found", Permanent, "url_not_found"),
        ("410 Gone", Permanent, "url_not_found"),
        ("304 Not Modified", Permanent, "url_unusable"),
        ("206 Partial Content", Permanent, "url_unusable"),
        ("400 Bad Request", Permanent, "url_unusable"),
        ("429 Too Many Requests", Transient, "url_unavailable"),
        ("500 Internal Server Error", Transient, "url_unavailable"),
        ("503 Service Unavailable", Transient, "url_unavailable"),
    ],
)
async def test_an_answer_that_is_not_a_file(
    server: Unruly, private: Path, status: str, kind: type[CodedError], code: str
) -> None:
    server.behave = [functools.partial(Exchange.answer, status=status, body=b"no")]
    refused = await refusal(with_secrets(server), private)
    assert (type(refused), refused.code) == (kind, code)
    assert refused.message.startswith(f"The server of 127.0.0.1 responded with {status[:3]}")
    assert refused.params == {"host": "127.0.0.1", "status": int(status[:3])}
    assert list(private.iterdir()) == []


@pytest.mark.parametrize(("named", "waits"), [("7", 7), ("600", 600), ("999999", 3600), ("soon", None), ("-1", None)])
async def test_a_server_says_when_to_come_back(server: Unruly, private: Path, named: str, waits: float | None) -> None:
    server.behave = [functools.partial(Exchange.answer, status="429 Slow Down", body=b"", retry_after=named)]
    refused = await refusal(server.url, private)
    assert isinstance(refused, Transient)
    assert refused.retry_after_seconds == waits


async def test_a_body_that_is_cut(server: Unruly, private: Path) -> None:
    server.behave = [functools.partial(Exchange.serve, content=CONTENT, cut=1_000_000)]
    refused = await refusal(with_secrets(server), private)
    assert (type(refused), refused.code) == (Transient, "url_unreachable")


@pytest.mark.parametrize(
    "hasty",
    [replace(RULES, limit_seconds=0.2), replace(RULES, minimum_speed=MinimumSpeed(stall_seconds=0.2))],
    ids=["limit", "speed"],
)
async def test_a_server_that_stands_still(server: Unruly, private: Path, hasty: url.UrlRules) -> None:
    async def stall(exchange: Exchange) -> None:
        await exchange.answer("200 OK", CONTENT, cut=1000)
        await asyncio.Event().wait()  # until the server is closed

    server.behave = [stall]
    refused = await refusal(with_secrets(server), private, rules=hasty)
    assert (type(refused), refused.code) == (Transient, "url_stalled")


@pytest.mark.parametrize(
    "address",
    [
        "ftp://127.0.0.1/film?secret",
        "http://",
        "http:///film?secret",
        "http://[::1/film?secret",
        "http://127.0.0.1:port/?secret",
        "http://host\n/secret",
        "http://user:secret@127.0.0.1/film",
    ],
)
async def test_an_invalid_address_is_refused(private: Path, address: str) -> None:
    refused = await refusal(address, private)
    assert (type(refused), refused.code) == (Permanent, "url_refused")


async def test_nobody_listens(server: Unruly, private: Path) -> None:
    async with unruly_server() as gone:
        pass
    refused = await refusal(with_secrets(gone), private)
    assert (type(refused), refused.code) == (Transient, "url_unreachable")
    assert refused.message == "The server of 127.0.0.1 could not be reached."
