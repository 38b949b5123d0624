"""The JavaScript of docs/frontend.md with supabase-py: the same calls under the same names.

Each function raises the client's own errors: `APIError` of tables and functions, `StorageApiError`, `AuthError`.
"""

import asyncio
import base64
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from postgrest import CountMethod
from postgrest.exceptions import APIError
from realtime.types import PostgresChangesPayload, RealtimePostgresChangesListenEvent
from supabase import AsyncClient

Row = dict[str, Any]

FINAL = ("succeeded", "failed", "cancelled")
CHUNK_BYTES = 6 * 1024 * 1024


def path_for(user_id: str, file: Path) -> str:
    """Return a new path in the user's folder of the bucket `media`."""
    return f"{user_id}/{uuid4()}-{re.sub('[^A-Za-z0-9._-]+', '_', file.name)}"


async def upload(supabase: AsyncClient, path: str, file: Path) -> str:
    """Upload a small film."""
    await supabase.storage.from_("media").upload(path, file, {"content-type": "video/mp4"})
    return path


@dataclass(frozen=True, slots=True)
class Transfer:
    """A resumable upload in progress. supabase-py has none, so this is tus with httpx."""

    location: str
    content: bytes

    async def go_on(self, supabase: AsyncClient, http: httpx.AsyncClient) -> AsyncIterator[float]:
        """Send the missing bytes; yield the progress, from 0 to 1, before and after each chunk."""
        head = await http.head(self.location, headers=await _tus_headers(supabase))
        offset = int(head.raise_for_status().headers["upload-offset"])
        yield offset / len(self.content)
        while offset < len(self.content):
            headers = await _tus_headers(supabase) | {
                "Upload-Offset": str(offset),
                "Content-Type": "application/offset+octet-stream",
            }
            chunk = self.content[offset : offset + CHUNK_BYTES]
            answer = await http.patch(self.location, headers=headers, content=chunk)
            offset = int(answer.raise_for_status().headers["upload-offset"])
            yield offset / len(self.content)


async def upload_large(
    supabase: AsyncClient, http: httpx.AsyncClient, url: str, path: str, content: bytes, *, size: int | None = None
) -> Transfer:
    """Begin an upload in chunks of exactly 6 MiB; `size` is needed if `content` is only its beginning.

    Raises httpx.HTTPStatusError: 409 if the file exists, 413 if it is too large.
    """
    named = {"bucketName": "media", "objectName": path, "contentType": "video/mp4"}
    metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in named.items())
    headers = await _tus_headers(supabase) | {"Upload-Length": str(size or len(content)), "Upload-Metadata": metadata}
    answer = await http.post(f"{url}/storage/v1/upload/resumable", headers=headers)
    return Transfer(answer.raise_for_status().headers["location"], content)


async def forget_large(supabase: AsyncClient, http: httpx.AsyncClient, transfer: Transfer) -> None:
    """Abort an incomplete upload in chunks."""
    (await http.delete(transfer.location, headers=await _tus_headers(supabase))).raise_for_status()


async def _tus_headers(supabase: AsyncClient) -> dict[str, str]:
    session = await supabase.auth.get_session()
    assert session is not None
    return {"Authorization": f"Bearer {session.access_token}", "Tus-Resumable": "1.0.0"}


async def upload_ticket(supabase: AsyncClient, path: str) -> str:
    """Return a token that lets anyone upload this one file within two hours."""
    return (await supabase.storage.from_("media").create_signed_upload_url(path))["token"]


async def upload_with_ticket(supabase: AsyncClient, path: str, token: str, file: Path) -> None:
    """Upload without a session."""
    await supabase.storage.from_("media").upload_to_signed_url(path, token, file, {"content-type": "video/mp4"})


async def ask(supabase: AsyncClient, request: Row) -> Row:
    """Insert a request and return the whole row."""
    answer: Any = await supabase.table("analysis_requests").insert(request).execute()
    row: Row = answer.data[0]
    return row


async def discard(supabase: AsyncClient, path: str) -> None:
    """Remove a file that no request names."""
    await supabase.storage.from_("media").remove([path])


async def watch(supabase: AsyncClient, column: str, value: str, poll_seconds: float = 15) -> AsyncGenerator[Row, None]:
    """Yield the rows with this value, now and at each change, until the caller stops; some come twice."""
    everything = (column, value)
    hints: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def hear(payload: PostgresChangesPayload) -> None:
        record = payload["data"]["record"]
        hints.put_nowait(("id", str(record["id"])) if record else everything)

    channel = supabase.channel(f"{column}-{value}-{uuid4()}")
    channel.on_postgres_changes(
        RealtimePostgresChangesListenEvent.Update,
        schema="public",
        table="analysis_requests",
        filter=f"{column}=eq.{value}",
        callback=hear,
    )
    # Changes flow from here on, and again after a reconnect: look for missed ones.
    channel.on_system(lambda _: hints.put_nowait(everything))
    hints.put_nowait(everything)
    await channel.subscribe()
    try:
        while True:
            hint = await _next(hints, poll_seconds) or everything
            look: Any = await supabase.table("analysis_requests").select("*").eq(*hint).execute()
            for row in look.data:
                yield row
    finally:
        await supabase.remove_channel(channel)


async def _next(hints: "asyncio.Queue[tuple[str, str]]", poll_seconds: float) -> tuple[str, str] | None:
    try:
        async with asyncio.timeout(poll_seconds):
            return await hints.get()
    except TimeoutError:
        return None


async def finished(
    supabase: AsyncClient, request_id: str, on_row: Callable[[Row], None] = lambda _: None, poll_seconds: float = 15
) -> Row:
    """Return a request's row when it has finished."""
    rows = watch(supabase, "id", request_id, poll_seconds)
    try:
        async for row in rows:
            on_row(row)
            if row["status"] in FINAL:
                return row
    finally:
        await rows.aclose()
    raise AssertionError


async def evidence(supabase: AsyncClient, request_id: str) -> Row:
    """Return the current result, with signed URLs of its pictures under `urls`."""
    query = supabase.table("analysis_results").select("*").eq("request_id", request_id).eq("is_current", "true")
    answer: Any = await query.single().execute()
    result: Row = answer.data
    urls = {name: await signed_url(supabase, "derived", path) for name, path in (result["derived"] or {}).items()}
    return result | {"urls": urls}


async def signed_url(supabase: AsyncClient, bucket: str, path: str) -> str:
    """Return a URL of a private file that is valid for ten minutes."""
    signed = await supabase.storage.from_(bucket).create_signed_url(path, 600)
    return str(signed["signedURL"])


async def wait_of(supabase: AsyncClient, request_id: str) -> Row:
    """Return why a request waits, its place in the line, and an estimate."""
    answer: Any = await supabase.rpc("analysis_wait", {"id": request_id}).single().execute()
    return dict(answer.data)


async def ask_batch(supabase: AsyncClient, paths: Sequence[str]) -> tuple[str, list[Row]]:
    """Insert a whole batch or nothing; return its id and rows."""
    batch_id = str(uuid4())
    rows = [{"storage_path": path, "batch_id": batch_id} for path in paths]
    answer: Any = await supabase.table("analysis_requests").insert(rows).execute()
    return batch_id, answer.data


async def batch_progress(supabase: AsyncClient, batch_id: str) -> dict[str, int]:
    """Return the number of a batch's requests in each state."""
    counts = {}
    for status in ("queued", "scheduled", "running", *FINAL):
        rows = supabase.table("analysis_requests").select("*", count=CountMethod.exact, head=True)
        counts[status] = (await rows.eq("batch_id", batch_id).eq("status", status).execute()).count or 0
    return counts


async def list_page(supabase: AsyncClient, number: int, size: int = 20) -> tuple[list[Row], int]:
    """Return the rows of a page, newest first, and the number of pages."""
    query = supabase.table("analysis_requests").select(
        "*, analysis_results(verdict, fake_probability, derived)",
        count=CountMethod.exact,
    )
    ordered = query.order("created_at", desc=True).order("id").range(number * size, number * size + size - 1)
    answer: Any = await ordered.execute()
    return answer.data, -(-answer.count // size)


async def call(supabase: AsyncClient, name: str, request_id: str) -> str:
    """Call `cancel_analysis`, `retry_analysis` or `delete_analysis`."""
    answer: Any = await supabase.rpc(name, {"id": request_id}).execute()
    return str(answer.data)


def quota_refusal(error: APIError) -> Row | None:
    """Return the detail of a refusal by quota, None for another error."""
    if error.code != "PT429":
        return None
    details: Row = json.loads(error.details or "{}")
    return details | {"message": error.message, "hint": error.hint}


async def quota(supabase: AsyncClient) -> Row:
    """Return the caller's usage and limits."""
    answer: Any = await supabase.rpc("analysis_quota").single().execute()
    return dict(answer.data)
