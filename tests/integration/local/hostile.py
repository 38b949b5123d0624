"""Input of broken and hostile clients for the gateway: endpoints that read JSON, and generators of bodies."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

DEEP = b"[" * 10_000 + b"]" * 10_000
LONG_NUMBER = "9" * 5000
RAW = (
    b"",
    b"{",
    b"null",
    b'"x"',
    b"[]",
    b"[{}, 5]",
    b"{}{}",
    b"NaN",
    b"1e400",
    b'{"a": -Infinity}',
    b'{"\xff": 1}',
    b"\xff\xfe{}",
    b"\x00",
    b'{"a": "\\u0000", "\\u0000": 1}',
    b'{"a": "\\ud800"}',
    b'{"a": 1, "a": 2}',
    LONG_NUMBER.encode(),
    b'{"limit": ' + LONG_NUMBER.encode() + b', "prefix": ""}',
    DEEP,
    b'{"data": ' + DEEP + b', "prefix": ' + DEEP + b"}",
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
)
"""Bodies that JSON libraries do not produce."""

_TEXTS = st.text(max_size=6) | st.sampled_from(
    [
        "\x00",
        "a\x00b",
        "\ud800",
        "\ud83d",
        "\U0010ffff",
        "ü€",
        "a\r\nb",
        "../x",
        "'; --",
        LONG_NUMBER,
        "NaN",
        "-1",
        "1e999",
    ]
)
_NUMBERS = st.integers() | st.floats() | st.sampled_from([-1, 0, 2**31, 2**63, 2**64, 10**30, -(10**30), 1.5])
VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=5,
)


@dataclass(frozen=True)
class Endpoint:
    """A gateway path that reads a JSON object; `fields` are its known fields with valid values."""

    method: str
    path: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def service(self) -> str:
        """The service whose error shape its refusals have."""
        return self.path.split("/")[1]

    def bodies(self) -> st.SearchStrategy[bytes]:
        """Generate bodies: its fields with some wrong values, arbitrary JSON, and invalid JSON."""
        known = {name: VALUES | st.just(value) for name, value in self.fields.items()}
        objects = st.fixed_dictionaries({}, optional=known)
        return (objects | VALUES).map(lambda value: json.dumps(value).encode()) | st.sampled_from(RAW)


_SORT = {"column": "name", "order": "asc"}
_LIMITS = {"public": True, "file_size_limit": "1MB", "allowed_mime_types": ["image/*"]}
_WAY = {"bucketId": "ours", "sourceKey": "a.txt", "destinationKey": "b.txt", "destinationBucket": "ours"}
_METADATA = {"a": 1}

ENDPOINTS = (
    Endpoint("POST", "/auth/v1/signup", {"email": "a@b.de", "password": "long enough", "data": _METADATA, "phone": ""}),
    Endpoint("POST", "/auth/v1/token?grant_type=password", {"email": "a@b.de", "password": "long enough"}),
    Endpoint("POST", "/auth/v1/token?grant_type=refresh_token", {"refresh_token": "x"}),
    Endpoint("POST", "/auth/v1/token", {"refresh_token": "x"}),
    Endpoint("POST", "/auth/v1/logout?scope=others"),
    Endpoint("PUT", "/auth/v1/user", {"email": "c@b.de", "password": "long enough", "data": _METADATA, "phone": ""}),
    Endpoint(
        "POST",
        "/auth/v1/admin/users",
        {
            "email": "d@b.de",
            "password": "long enough",
            "user_metadata": _METADATA,
            "app_metadata": _METADATA,
            "email_confirm": True,
            "ban_duration": "1h",
            "role": "authenticated",
            "id": "x",
            "phone": "",
        },
    ),
    Endpoint(
        "PUT",
        "/auth/v1/admin/users/{user}",
        {"password": "long enough", "user_metadata": _METADATA, "ban_duration": "none", "role": "authenticated"},
    ),
    Endpoint("DELETE", "/auth/v1/admin/users/5eed0000-0000-4000-8000-000000000000", {"should_soft_delete": True}),
    Endpoint("POST", "/rest/v1/notes", {"text": "x", "stars": 3, "tags": ["a"], "owner": None}),
    Endpoint("POST", "/rest/v1/notes?columns=text,text,stars&on_conflict=id", {"text": "x", "stars": 3}),
    Endpoint("PATCH", "/rest/v1/notes?id=eq.0", {"text": "x", "stars": 3, "tags": ["a"]}),
    Endpoint("DELETE", "/rest/v1/notes?id=eq.0"),
    Endpoint("POST", "/rest/v1/rpc/count_notes", {"prefix": "x"}),
    Endpoint("POST", "/rest/v1/rpc/whole_body", {"prefix": "x"}),
    Endpoint("POST", "/storage/v1/bucket", {"name": "ours", "id": "ours", "type": "STANDARD", **_LIMITS}),
    Endpoint("PUT", "/storage/v1/bucket/ours", _LIMITS),
    Endpoint("POST", "/storage/v1/bucket/absent/empty"),
    Endpoint(
        "POST",
        "/storage/v1/object/list/ours",
        {"prefix": "", "limit": 5, "offset": 0, "sortBy": _SORT, "search": "a"},
    ),
    Endpoint(
        "POST",
        "/storage/v1/object/list-v2/ours",
        {"prefix": "", "limit": 5, "cursor": "bDphLnR4dA==", "with_delimiter": True, "sortBy": _SORT},
    ),
    Endpoint("DELETE", "/storage/v1/object/ours", {"prefixes": ["absent.txt"]}),
    Endpoint("POST", "/storage/v1/object/sign/ours/a.txt", {"expiresIn": 60, "transform": {}}),
    Endpoint("POST", "/storage/v1/object/sign/ours", {"expiresIn": 60, "paths": ["a.txt"]}),
    Endpoint("POST", "/storage/v1/object/upload/sign/ours/new.txt"),
    Endpoint(
        "POST",
        "/storage/v1/object/copy",
        {**_WAY, "metadata": {"mimetype": "a/b", "cacheControl": "no-cache"}, "copyMetadata": False},
    ),
    Endpoint("POST", "/storage/v1/object/move", _WAY),
    Endpoint(
        "POST",
        "/realtime/v1/api/broadcast",
        {"messages": [{"topic": "t", "event": "e", "payload": {}, "private": False}]},
    ),
    Endpoint("POST", "/realtime/v1/api/broadcast/t/events/e", {"a": 1}),
)

_NAMES = st.sampled_from(
    re.split(
        " ",
        "text stars tags id select order limit offset and or not.and columns on_conflict replies.text replies.order "
        'text->a->>0 text->"--5" text->² text->99999999999 "a -> . %00 %ff',
    )
)
_PIECES = st.sampled_from(
    re.split(
        " ",
        'eq. not. in. is. fts(x). like(any). ( ) , " \\ { } null text stars * replies !inner ::int ::text : . -> ->> '
        "-- ² -1 0 and( or( %00 %ff %ed%a0%80 %20 asc .desc .nullsfirst count() ... %0a ü " + LONG_NUMBER,
    )
)
QUERIES = st.lists(
    st.tuples(_NAMES, st.lists(_PIECES, max_size=6).map("".join)).map(lambda pair: f"{pair[0]}={pair[1]}"), max_size=3
).map("&".join)
"""Query strings for a table of REST, already escaped."""
