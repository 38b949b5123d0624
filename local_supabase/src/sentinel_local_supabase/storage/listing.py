"""Listing objects: one level by offset, as supabase-js's `list` asks for, and pages by cursor (`listV2`)."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any, Self

from starlette.requests import Request
from starlette.responses import Response

from sentinel_local_supabase.database import fetch_one
from sentinel_local_supabase.json_answer import json_answer
from sentinel_local_supabase.queries import load_queries
from sentinel_local_supabase.storage.access import Access
from sentinel_local_supabase.storage.body import Reader, choice, flag, part, read_body, text, whole
from sentinel_local_supabase.storage.storage_errors import StorageError

_QUERIES = load_queries("storage/listing.sql")
_LEVEL_LIMIT = 100
_PAGE_LIMIT = 1000
_CURSOR_PART = re.compile(r"([loca]):(.*)")


def _sorting(*columns: str) -> Reader:
    return part({"column": choice(*columns), "order": choice("asc", "desc")}, "column")


_LEVEL_FIELDS = {
    "prefix": text,
    "limit": whole(1),
    "offset": whole(0),
    "sortBy": _sorting("name", "updated_at", "created_at", "last_accessed_at"),
    "search": text,
}
_PAGE_FIELDS = {
    "prefix": text,
    "limit": whole(1),
    "cursor": text,
    "with_delimiter": flag,
    "sortBy": _sorting("name", "updated_at", "created_at"),
}


@dataclass(frozen=True, slots=True)
class Cursor:
    """End of a page: the name, the order, and the sorted column's value there. Texts; empty means absent."""

    name: str = ""
    order: str = ""
    column: str = ""
    after: str = ""

    @classmethod
    def decode(cls, text: str) -> Self:
        """Parse the form of `encode`. Raises InvalidParameter."""
        try:
            lines = base64.b64decode(text, validate=True).decode().split("\n")
        except ValueError as error:  # not base64, or not text
            raise _bad_cursor() from error
        found = [_CURSOR_PART.fullmatch(line) for line in lines]
        if not all(found):
            raise _bad_cursor()
        parts = {one[1]: one[2] for one in found if one is not None}
        return cls(parts.get("l", ""), parts.get("o", "asc"), parts.get("c", ""), parts.get("a", ""))

    def encode(self) -> str:
        """Serialize as the real server does: lines of a letter and a value, in base64."""
        parts = {"l": self.name, "o": self.order, "c": self.column, "a": self.after}
        return base64.b64encode("\n".join(f"{key}:{value}" for key, value in parts.items() if value).encode()).decode()


class Listings:
    """Endpoints below /object/list and /object/list-v2."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def level(self, request: Request) -> Response:
        """POST of /object/list/{bucket}: one level below a prefix; folders have no id."""
        caller = self._access.caller(request)
        body = await read_body(request, _LEVEL_FIELDS, "prefix")
        prefix = body["prefix"]
        if prefix and not prefix.endswith("/"):
            prefix += "/"
        sort = body.get("sortBy", {})
        parameters = [
            *(request.path_params["bucket"], prefix, body.get("search", "")),
            *(sort.get("column", "name"), sort.get("order") == "desc"),
            *(body.get("limit", _LEVEL_LIMIT), body.get("offset", 0)),
        ]
        async with self._access.acting(request, caller) as connection:
            row = await fetch_one(connection, _QUERIES["list_level"], parameters)
        assert row is not None
        return json_answer(json.loads(row[0]))

    async def page(self, request: Request) -> Response:
        """POST of /object/list-v2/{bucket}: objects below a prefix of any form, and folders `with_delimiter`."""
        caller = self._access.caller(request)
        body = await read_body(request, _PAGE_FIELDS)
        prefix, delimited = body.get("prefix", ""), body.get("with_delimiter", False)
        limit, sort = min(body.get("limit", _PAGE_LIMIT), _PAGE_LIMIT), body.get("sortBy", {})
        cursor = Cursor.decode(body["cursor"]) if body.get("cursor") else Cursor()
        column, order = cursor.column or sort.get("column", ""), cursor.order or sort.get("order", "")
        parameters = [
            *(request.path_params["bucket"], prefix, delimited, column or "name", order == "desc"),
            *(cursor.name, cursor.after, limit + 1),
        ]
        async with self._access.acting(request, caller) as connection:
            row = await fetch_one(connection, _QUERIES["list_page"], parameters)
        assert row is not None
        entries = json.loads(row[0])
        answer: dict[str, Any] = {"hasNext": len(entries) > limit}
        if answer["hasNext"]:
            last = entries[limit - 1]
            after = last[column] if column in ("updated_at", "created_at") else ""
            answer["nextCursor"] = Cursor(last["name"], order, column, after).encode()
            answer["nextCursorKey"] = last["name"]
        return json_answer({**answer, **_parted(entries[:limit], prefix.count("/") if delimited else None)})


def _parted(entries: list[dict[str, Any]], depth: int | None) -> dict[str, Any]:
    """Split entries into folders, with a trailing slash, and objects; with a `depth` each has its `key`."""
    parted: dict[str, Any] = {"folders": [], "objects": []}
    for entry in entries:
        is_folder = entry["id"] is None
        key = {} if depth is None else {"key": entry["name"].split("/")[depth]}
        name = entry["name"] + "/" if is_folder else entry["name"]
        parted["folders" if is_folder else "objects"].append({**key, **entry, "name": name})
    return parted


def _bad_cursor() -> StorageError:
    return StorageError("400", "InvalidParameter", "InvalidParameter", "Invalid Parameter continuation token")
