"""Questions over HTTP on /storage/v1/bucket."""

from typing import Any

import httpx
import psycopg

from tests.rights.as_objects import REFUSED
from tests.rights.matrix import Matrix
from tests.rights.world import Identity, prepare

ERASE = """
begin;
select set_config('storage.allow_delete_query', 'true', true);
delete from storage.objects where bucket_id = '{bucket}';
commit;
"""


async def ask_buckets(
    client: httpx.AsyncClient, identity: Identity, superuser: psycopg.Connection, buckets: list[str]
) -> Matrix:
    """Ask one identity about each bucket. `client` sends its headers; changes are undone."""
    matrix = Matrix()

    async def allowed(method: str, path: str, **arguments: Any) -> bool:
        matrix.asked += 1
        answer = await client.request(method, f"/storage/v1/bucket{path}", **arguments)
        if not (answer.is_success or answer.json()["statusCode"] in REFUSED):
            matrix.unclear.append(f"{identity.name}, {method} {path}: {answer.text}")
        return answer.is_success

    for bucket in buckets:
        prepare(superuser)
        everything = _objects(superuser, bucket)
        listed = await client.get("/storage/v1/bucket")
        seen = listed.is_success and bucket in {one["id"] for one in listed.json()}
        if seen != await allowed("GET", f"/{bucket}"):
            matrix.unclear.append(f"{identity.name} sees {bucket} either in the list or by its name, not both")
        matrix.add("buckets", bucket, identity.name, "S" if seen else "")
        made = await allowed("POST", "", json={"id": "made", "name": "made", "public": True})
        superuser.execute("set storage.allow_delete_query = 'true'; delete from storage.buckets where id = 'made'")
        matrix.add("buckets", bucket, identity.name, "I" if made else "")
        opened = await allowed("PUT", f"/{bucket}", json={"public": True})
        if opened != _is_public(superuser, bucket):
            matrix.unclear.append(f"{identity.name} got another answer than what happened to {bucket}")
        matrix.add("buckets", bucket, identity.name, "U" if opened else "")
        await allowed("POST", f"/{bucket}/empty")
        left = _objects(superuser, bucket)
        matrix.add("buckets", bucket, identity.name, "E" if not left else "" if left == everything else "e")
        superuser.execute(ERASE.format(bucket=bucket).encode())
        deleted = await allowed("DELETE", f"/{bucket}")
        matrix.add("buckets", bucket, identity.name, "D" if deleted else "")
    prepare(superuser)
    return matrix


def _objects(superuser: psycopg.Connection, bucket: str) -> set[str]:
    rows = superuser.execute("select name from storage.objects where bucket_id = %s", [bucket])
    return {name for (name,) in rows}


def _is_public(superuser: psycopg.Connection, bucket: str) -> bool:
    row = superuser.execute("select public from storage.buckets where id = %s", [bucket]).fetchone()
    return bool(row and row[0])
