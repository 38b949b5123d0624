"""Options of Storage that change an answer: partial bucket updates, names of downloads, and what is left out."""

from collections.abc import AsyncIterator

import httpx
import pytest
from storage3.exceptions import StorageApiError
from supabase import AsyncClient

from sentinel_local_supabase.stack import Stack


@pytest.fixture
async def storage(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of Storage with all rights."""
    headers = {"apikey": stack.service_key, "authorization": f"Bearer {stack.service_key}"}
    async with httpx.AsyncClient(base_url=f"{stack.url}/storage/v1", headers=headers) as client:
        yield client


async def test_an_update_keeps_what_it_leaves_out(service: AsyncClient, storage: httpx.AsyncClient) -> None:
    limits = {"public": True, "file_size_limit": 1000, "allowed_mime_types": ["image/png"]}
    await storage.post("/bucket", json={"name": "partial", **limits})

    async def updated(**changes: object) -> dict[str, object]:
        assert (await storage.put("/bucket/partial", json=changes)).status_code == 200
        row = (await storage.get("/bucket/partial")).json()
        return {name: row[name] for name in limits}

    await service.storage.update_bucket("partial", {"public": False})
    assert await updated(public=False) == limits | {"public": False}
    limits = limits | {"public": False, "file_size_limit": 5}
    assert await updated(file_size_limit="5B") == limits
    assert await updated(allowed_mime_types=["image/gif"]) == limits | {"allowed_mime_types": ["image/gif"]}
    assert await updated(allowed_mime_types=None) == limits | {"allowed_mime_types": None}
    assert await updated(file_size_limit=None) == limits | {"allowed_mime_types": None, "file_size_limit": None}
    nothing = await storage.put("/bucket/partial", json={})
    assert nothing.json()["message"] == "body must NOT have fewer than 1 properties"


@pytest.mark.parametrize(
    ("query", "disposition"),
    [
        ("", None),
        ("?download=", "attachment;"),
        ("?download=x.svg", "attachment; filename=x.svg; filename*=UTF-8''x.svg"),
        (
            "?download=%C3%BC%20(1)%22.txt",
            "attachment; filename=%C3%BC%20(1)%22.txt; filename*=UTF-8''%C3%BC%20(1)%22.txt",
        ),
    ],
)
async def test_the_name_of_a_download(storage: httpx.AsyncClient, query: str, disposition: str | None) -> None:
    await storage.put("/object/open/saved.txt", content=b"x", headers={"content-type": "text/plain"})
    for path in ("/object/public/open/saved.txt", "/object/authenticated/open/saved.txt"):
        answer = await storage.get(path + query)
        assert answer.headers.get("content-disposition") == disposition


async def test_a_signed_url_of_a_transformed_image_is_left_out(service: AsyncClient) -> None:
    with pytest.raises(StorageApiError, match="The local Supabase has no image transformation") as caught:
        await service.storage.from_("open").create_signed_url("a.png", 60, {"transform": {"width": 10}})
    assert (caught.value.status, caught.value.code) == ("409", "FeatureNotEnabled")


@pytest.mark.parametrize(
    ("method", "path", "what"),
    [
        ("GET", "/render/image/public/open/a.png", "image transformation"),
        ("GET", "/render/image/authenticated/open/a.png", "image transformation"),
        ("PUT", "/s3/open/a.png", "S3 protocol"),
        ("POST", "/iceberg/bucket", "analytics buckets"),
        ("POST", "/vector/CreateIndex", "vector buckets"),
        ("DELETE", "/cdn/open/a.png", "CDN"),
        ("POST", "/bucket", "buckets of the type ANALYTICS"),
    ],
)
async def test_what_is_left_out_says_so(storage: httpx.AsyncClient, method: str, path: str, what: str) -> None:
    answer = await storage.request(method, path, json={"name": "other", "type": "ANALYTICS"})
    assert (answer.status_code, answer.json()["code"]) == (400, "FeatureNotEnabled")
    assert answer.json()["message"].startswith(f"The local Supabase has no {what}")
