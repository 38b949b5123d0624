"""Removing objects, and signing URLs for their downloads."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from sentinel_local_supabase.database import fetch_all
from sentinel_local_supabase.json_answer import json_answer
from sentinel_local_supabase.storage.access import QUERIES, Access
from sentinel_local_supabase.storage.body import part, read_body, texts, whole
from sentinel_local_supabase.storage.storage_errors import left_out, no_object

_SECONDS = {"expiresIn": whole(1)}


class Objects:
    """Endpoints that remove objects and sign URLs."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def remove(self, request: Request) -> Response:
        """DELETE of /object/{bucket}: returns the deleted rows, without absent or hidden ones."""
        caller = self._access.caller(request)
        names = (await read_body(request, {"prefixes": texts(1)}, "prefixes"))["prefixes"]
        return json_answer(await self._delete(request, request.path_params["bucket"], names, caller))

    async def remove_one(self, request: Request) -> Response:
        """DELETE of /object/{bucket}/{name}. Raises NoSuchKey."""
        caller = self._access.caller(request)
        if not await self._delete(request, request.path_params["bucket"], [request.path_params["name"]], caller):
            raise no_object()
        return json_answer({"message": "Successfully deleted"})

    async def sign(self, request: Request) -> Response:
        """POST of /object/sign/{bucket}/{name}: returns a path with a token that is valid for some seconds."""
        caller = self._access.caller(request)
        bucket, name = request.path_params["bucket"], request.path_params["name"]
        body = await read_body(request, {**_SECONDS, "transform": part({})}, "expiresIn")
        if "transform" in body:
            raise left_out("image transformation: sign the image without `transform`")
        seconds = body["expiresIn"]
        await self._access.visible(request, caller, bucket, name)
        return json_answer({"signedURL": self._signed_path(bucket, name, seconds)})

    async def sign_many(self, request: Request) -> Response:
        """POST of /object/sign/{bucket}: returns an entry per path, with an error for invisible ones."""
        caller = self._access.caller(request)
        bucket = request.path_params["bucket"]
        body = await read_body(request, {**_SECONDS, "paths": texts(1)}, "expiresIn", "paths")
        seconds, names = body["expiresIn"], body["paths"]
        async with self._access.acting(request, caller) as connection:
            rows = await fetch_all(connection, QUERIES["visible_names"], [bucket, names])
        visible = {row[0] for row in rows}
        hidden = "Either the object does not exist or you do not have access to it"
        entries = [
            {
                "error": None if name in visible else hidden,
                "path": name,
                "signedURL": self._signed_path(bucket, name, seconds) if name in visible else None,
            }
            for name in names
        ]
        return json_answer(entries)

    async def _delete(self, request: Request, bucket: str, names: list[str], caller: Any) -> list[Any]:
        async with self._access.acting(request, caller) as connection:
            rows = await fetch_all(connection, QUERIES["remove"], [bucket, names])
        for version, _ in rows:
            self._access.files.remove(version)
        return [json.loads(body) for _, body in rows]

    def _signed_path(self, bucket: str, name: str, seconds: int) -> str:
        now = int(time.time())
        path = f"{bucket}/{name}"
        token = self._access.keys.sign({"url": path, "scope": "download", "iat": now, "exp": now + seconds})
        return f"/object/sign/{quote(path)}?token={token}"
