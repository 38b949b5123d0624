"""Resumable uploads (TUS): an identity's own, and taking over another's."""

from base64 import b64encode

import httpx

TUS = {"Tus-Resumable": "1.0.0"}
BASE = "/storage/v1/upload/resumable"


async def begin(client: httpx.AsyncClient, bucket: str, key: str, size: int, **headers: str) -> httpx.Response:
    """POST: announce an upload of `size` bytes."""
    named = {"bucketName": bucket, "objectName": key, "contentType": "video/mp4"}
    metadata = ",".join(f"{name} {b64encode(value.encode()).decode()}" for name, value in named.items())
    announced = {**TUS, "Upload-Length": str(size), "Upload-Metadata": metadata, **headers}
    path = f"{BASE}/sign" if "x-signature" in headers else BASE
    return await client.post(path, headers=announced)


async def send(client: httpx.AsyncClient, begun: httpx.Response, content: bytes, **headers: str) -> httpx.Response:
    """PATCH: send all bytes of an upload."""
    place = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream", **headers}
    return await client.patch(begun.headers["location"], content=content, headers=place)


async def forget(client: httpx.AsyncClient, begun: httpx.Response) -> httpx.Response:
    """DELETE: abort an upload."""
    return await client.delete(begun.headers["location"], headers=TUS)
