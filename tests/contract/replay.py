"""Recorded exchanges with the real servers: send them again, and compare the responses.

Values that always differ (uuids, times, tokens) are masked on both sides before the comparison.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sentinel_local_supabase.keys import ProjectKeys
from tests.contract.explained import Difference, short

RECORDINGS = Path(__file__).parent / "recordings"
COMPARED_HEADERS = (
    "content-type", "content-range", "preference-applied", "proxy-status", "www-authenticate", "retry-after",
    "location", "accept-ranges", "etag", "cache-control",
    "tus-resumable", "upload-offset", "upload-length", "upload-metadata",
)  # fmt: skip
_TOKEN = re.compile(r"<jwt(?: role=(?P<role>\S+?))?(?: sub=(?P<sub>\S+?))? ?>")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)?)?")
_SIGNED = re.compile(r"token=[^\"&]+")
_TOKEN_TIME = re.compile(r'"(exp|iat)": \d+')
_SIZED = re.compile(r"<(\d+) bytes sha256=([0-9a-f]{64})>")
_SIGNED_TOKEN = re.compile(r"<jwt ?>|eyJ[\w-]+\.[\w-]+\.[\w-]+")
_TENANT = re.compile(r"Invalid key: (?:stub/stub|stub|local)/")
_USERS = ("11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222")

Claims = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One line of a recording."""

    label: str
    method: str
    path: str
    request_headers: dict[str, str]
    request_body: Any
    status: int
    response_headers: dict[str, str]
    body: Any

    def content(self) -> bytes | None:
        """The request's body as bytes."""
        if self.request_body is None:
            return None
        if isinstance(self.request_body, bytes):
            return self.request_body
        if isinstance(self.request_body, str):
            return self.request_body.encode()
        return json.dumps(self.request_body).encode()


def read(file_name: str) -> Iterator[Exchange]:
    """Yield the exchanges of a file of RECORDINGS, in order."""
    with (RECORDINGS / file_name).open() as lines:
        for line in lines:
            yield Exchange(**json.loads(line))


class Replayer:
    """Sends exchanges with new tokens; `token_of(exchange, claims)` signs them, validly or not."""

    def __init__(self, client: httpx.Client, keys: ProjectKeys, token_of: Callable[[Exchange, Claims], str]) -> None:
        self._client = client
        self._keys = keys
        self._token_of = token_of

    def send(self, exchange: Exchange, path: str | None = None) -> httpx.Response:
        """Send an exchange to the server under test and return the response."""
        headers = {
            name: value
            for name, value in exchange.request_headers.items()
            if name.lower() not in ("host", "content-length", "connection", "accept-encoding")
        }
        headers = {name: self._with_token(exchange, value) for name, value in headers.items()}
        headers.setdefault("apikey", self._keys.anon_key)
        if exchange.path.startswith("/storage"):
            del headers["apikey"]
        request = httpx.Request(
            exchange.method,
            self._client.base_url,
            headers=headers,
            content=exchange.content(),
            # Send the path unchanged: httpx would resolve dot segments.
            extensions={"target": (path or exchange.path).encode()},
        )
        if exchange.request_body is not None and "content-type" not in exchange.request_headers:
            request.headers.pop("content-type", None)
        return self._client.send(request)

    def _with_token(self, exchange: Exchange, value: str) -> str:
        def token(found: re.Match[str]) -> str:
            now = int(time.time())
            claims: Claims = {"aud": "authenticated", "exp": now + 3600, "iat": now - 10, "iss": "supabase"}
            claims |= {name: text for name, text in found.groupdict().items() if text is not None}
            return self._token_of(exchange, claims)

        return _TOKEN.sub(token, value)


def differences(exchange: Exchange, response: httpx.Response) -> list[Difference]:
    """Return the differences from the recording."""
    pairs: list[tuple[str, int | str | None, int | str | None]] = [("status", response.status_code, exchange.status)]
    pairs += [(name, response.headers.get(name), exchange.response_headers.get(name)) for name in COMPARED_HEADERS]
    found = [Difference(kind, here, there) for kind, here, there in pairs if here != there]
    if exchange.method != "HEAD":
        found += _body_differences(exchange, response)
    return found


def _body_differences(exchange: Exchange, response: httpx.Response) -> list[Difference]:
    recorded = exchange.body
    here = masked(response.text)
    if isinstance(recorded, str) and (sized := _SIZED.fullmatch(recorded)):
        got = f"<{len(response.content)} bytes sha256={hashlib.sha256(response.content).hexdigest()}>"
        return [] if got == sized.group() else [Difference("body", short(here), recorded)]
    if isinstance(recorded, str) and exchange.response_headers.get("content-length") == str(len(recorded) + 2):
        recorded = json.dumps(recorded)  # the recorder removed the quotes of a JSON string
    there = masked(recorded)
    return [] if here == there else [Difference("body", short(here), short(there))]


def masked(body: Any) -> str:
    """Return a body as canonical text, without values that always differ."""
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            return _mask(body)
    return _mask(json.dumps(body, sort_keys=True))


def _mask(text: str) -> str:
    text = _TOKEN_TIME.sub(r'"\1": 0', text)
    text = _SIGNED_TOKEN.sub("<jwt>", text)
    text = _TENANT.sub("Invalid key: ", _SIGNED.sub("token=…", text))
    text = _UUID.sub(lambda found: found.group() if found.group() in _USERS else "<uuid>", text)
    return _INSTANT.sub("<instant>", text)
