"""Replay of the recorded exchanges with Storage 1.70.6 against the local Storage, in order."""

from __future__ import annotations

import base64
import json
import re
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace

import httpx
import jwt
import psycopg

from sentinel_local_supabase.stack import Stack
from tests.contract import storage_scenes as scenes
from tests.contract.explained import Difference, judge
from tests.contract.replay import Claims, Exchange, Replayer, differences, masked, read
from tests.contract.report import Report

NAME = "Storage"
_OBJECT, _RESUMABLE = "/storage/v1/object", "/storage/v1/upload/resumable"
# Tokens have a longer header here, and the tenant's name is shorter.
_LENGTH_VARIES = re.compile(r"token=|dot path segment")
_SIGNED_NAME = f"jobs/{scenes.USER}/signedtus.bin"


def replay(stack: Stack, report: Report, exchanges: Iterable[Exchange] | None = None) -> None:
    """Replay against a stack without migrations, and stop its database for a moment; blocks for some seconds."""
    with psycopg.connect(stack.superuser_dsn, autocommit=True) as database:
        database.execute(scenes.BEGINNING.encode())
    with httpx.Client(base_url=stack.url, timeout=60) as client:
        scene = _Scene(stack, client)
        for exchange in exchanges or read("storage.jsonl"):
            if exchange.label in scenes.LEFT_OUT:
                report.leave_out(exchange.label, scenes.LEFT_OUT[exchange.label])
            else:
                judge(report, exchange.label, scene.play(exchange))


def expected() -> Report:
    """Return the report of a replay in which everything is as recorded."""
    report = Report(NAME)
    for exchange in read("storage.jsonl"):
        if exchange.label in scenes.LEFT_OUT:
            report.leave_out(exchange.label, scenes.LEFT_OUT[exchange.label])
        else:
            report.match(exchange.label)
    return report


class _Scene:
    """Sends the exchanges in order, and repeats the events between them."""

    def __init__(self, stack: Stack, client: httpx.Client) -> None:
        self._stack = stack
        self._client = client
        self._replayer = Replayer(client, stack.keys, self._token)
        self._ids: dict[str, str] = {}
        self._between: dict[str, Callable[[], object]] = {
            "TUS HEAD after cut connection": self._cut_patch,
            "TUS2 create upsert over existing": lambda: self._upload(f"jobs/{scenes.USER}/tu2.bin", b"existing"),
            "TUS2 HEAD at end": self._last_bytes,
            "after a truncated raw upload: GET": lambda: self._cut_upload("wb/trunc.txt", upsert="false"),
            "after a truncated upsert over an existing object: GET": self._cut_upsert,
            "signed url after the object was removed": lambda: self._client.delete(
                f"{_OBJECT}/wb/ov.txt", headers=self._service()
            ),
            scenes.OUTAGE_BEGINS: stack.postgres.stop,
            scenes.OUTAGE_ENDS: stack.postgres.start,
        }

    def play(self, recorded: Exchange) -> list[Difference]:
        """Send an exchange; return the differences between the recorded response and the stack's."""
        exchange = Exchange(**json.loads(self._here(json.dumps(asdict(recorded)))))
        if (statements := scenes.STATEMENTS.get(exchange.label)) is not None:
            with psycopg.connect(self._stack.superuser_dsn, autocommit=True) as database:
                database.execute(statements.encode())
        if (act := self._between.get(exchange.label)) is not None:
            act()
        headers = {**exchange.request_headers, **scenes.HEADERS.get(exchange.label, {})}
        sent = replace(exchange, request_headers=headers, request_body=scenes.content(exchange))
        response = self._replayer.send(sent, self._signed_path(exchange))
        return self._compared(exchange, response)

    def _here(self, text: str) -> str:
        """Replace values that differ in each run: hashes of random bytes, and upload ids."""
        for there, here in {**scenes.HASHES, **self._ids}.items():
            text = text.replace(there, here)
        return text

    def _compared(self, exchange: Exchange, response: httpx.Response) -> list[Difference]:
        expected = dict(exchange.response_headers)
        found = []
        if "location" in expected and "location" in response.headers:
            there, here = expected["location"], response.headers["location"]
            self._ids[there.rpartition("/")[2]] = here.rpartition("/")[2]
            if _place(there) == _place(here):
                expected["location"] = here
        if ("last-modified" in expected) != ("last-modified" in response.headers):
            name = "last-modified"
            found.append(Difference(name, response.headers.get(name), expected.get(name)))
        here_long, there_long = response.headers.get("content-length"), expected.get("content-length")
        if there_long is not None and here_long != there_long and not _LENGTH_VARIES.search(response.text):
            found.append(Difference("content-length", here_long, there_long))
        return found + differences(replace(exchange, response_headers=expected), response)

    def _token(self, exchange: Exchange, claims: Claims) -> str:
        label, keys, now = exchange.label, self._stack.keys, int(time.time())
        if label.startswith("TUS2 signed"):
            return keys.sign({"url": _SIGNED_NAME, "upsert": False, "scope": "upload", "exp": now + 60})
        if "badsig" in label or "bad signature" in label:
            return jwt.encode(claims, "another secret of at least 32 bytes", algorithm="HS256")
        if "expired" in label:
            claims["exp"] = now - 20
        if "without exp" in label:
            del claims["exp"]
        if "nbf" in label:
            claims["nbf"] = now + 60
        return keys.sign(claims)

    def _signed_path(self, exchange: Exchange) -> str:
        """Return the path with a token that is valid, or invalid if the label says so."""
        path, label = exchange.path.partition("?")[0], exchange.label
        claims: Claims = {
            "url": path.partition("/sign/")[2],
            "exp": 1 if "expired" in label else int(time.time()) + 60,
            **({"scope": "upload", "upsert": False} if "/upload/sign/" in path else {"scope": "download"}),
        }
        if "another" in label or "wrong" in label:
            claims["url"] = "jobs/other"
        token = self._stack.keys.sign(claims)
        if "tampered" in label:
            token = token[:-8] + "AAAAAAAA"
        return exchange.path.replace("<jwt >", token)

    def _service(self, **more: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._stack.service_key}", **more}

    def _upload(self, name: str, content: bytes) -> None:
        headers = self._service(**{"content-type": "text/plain", "cache-control": "max-age=3600"})
        self._client.post(f"{_OBJECT}/{name}", content=content, headers=headers).raise_for_status()

    def _cut_upsert(self) -> None:
        self._upload("wb/ov.txt", b"original")
        self._cut_upload("wb/ov.txt", upsert="true")

    def _cut_upload(self, name: str, *, upsert: str) -> None:
        headers = self._service(**{"content-type": "text/plain", "x-upsert": upsert})
        self._cut("POST", f"{_OBJECT}/{name}", headers, b"trunc")

    def _cut_patch(self) -> None:
        """Send five of twelve bytes to the most recent upload."""
        self._cut("PATCH", f"{_RESUMABLE}/{list(self._ids.values())[-1]}", self._next_bytes(0), b"hello")

    def _last_bytes(self) -> None:
        """Send the second half of the most recent upload."""
        path = f"{_RESUMABLE}/{list(self._ids.values())[-1]}"
        self._client.patch(path, content=b"hello", headers=self._next_bytes(5)).raise_for_status()

    def _next_bytes(self, offset: int) -> dict[str, str]:
        token = self._stack.keys.sign({"role": "authenticated", "sub": scenes.USER, "exp": int(time.time()) + 60})
        kind = {"content-type": "application/offset+octet-stream", "tus-resumable": "1.0.0", "x-upsert": "true"}
        return {"authorization": f"Bearer {token}", "upload-offset": str(offset), **kind}

    def _cut(self, method: str, path: str, headers: dict[str, str], content: bytes) -> None:
        """Announce 12 bytes, send `content` when the server asks for it, and close the connection."""
        announced = {"host": "x", "content-length": "12", "expect": "100-continue", **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in announced.items()), "", ""]
        with socket.create_connection(("127.0.0.1", self._stack.port), timeout=10) as connection:
            connection.sendall("\r\n".join(lines).encode())
            if b" 100 " not in connection.recv(100):
                raise AssertionError(f"{method} {path} was refused")
            connection.sendall(content)


def _place(location: str) -> str:
    """Return an upload's URL without host and version."""
    found = re.fullmatch(r"https?://[^/]+(/.*)/([\w-]+)", location)
    if found is None:
        return location
    upload = base64.urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4)).decode()
    return f"{found[1]} {masked(upload)}"
