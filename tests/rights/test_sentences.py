"""What a frontend reads over HTTP when a write is refused: a sentence, a hint, and what to translate by."""

import json
from typing import Any

import httpx
import pytest

from tests.rights.asking import Asking
from tests.rights.world import REQUEST_A, USER_A, USER_B, A, prepare

pytestmark = pytest.mark.asyncio(loop_scope="session")
TABLE = "/rest/v1/analysis_requests"
GOOD = {"storage_path": f"{USER_A}/b.mp4"}
UPSERT = {"Prefer": "resolution=merge-duplicates"}
OWN = {"id": f"eq.{REQUEST_A}"}
REFUSED: dict[str, tuple[str, dict[str, Any], int, str, str]] = {
    "another's folder": (
        "POST",
        {"json": {"storage_path": f"{USER_B}/b.mp4"}},
        400,
        "storage_path must be a path in the owner's folder of the bucket media: <user id>/<name of the file>.",
        '{"rule": "own_path"}',
    ),
    "no source": (
        "POST",
        {"json": {"media_kind": "video"}},
        400,
        "A request needs either storage_path or source_url: one of them, and not both.",
        '{"rule": "one_source"}',
    ),
    "forged": (
        "POST",
        {"json": GOOD | {"status": "succeeded", "priority": 5}},
        403,
        "A user cannot set priority, status: the queue does.",
        '{"columns": ["priority", "status"]}',
    ),
    "another owner": (
        "POST",
        {"json": GOOD | {"user_id": USER_B}},
        403,
        "user_id must be the id of the signed-in user.",
        '{"columns": ["user_id"]}',
    ),
    "upsert": (
        "POST",
        {"json": GOOD, "headers": UPSERT},
        403,
        "A user cannot change analysis_requests, and an upsert is a change.",
        "null",
    ),
    "update": (
        "PATCH",
        {"json": {"status": "cancelled"}, "params": OWN},
        403,
        "A user cannot change analysis_requests, and an upsert is a change.",
        "null",
    ),
    "delete": ("DELETE", {"params": OWN}, 403, "A user cannot delete from analysis_requests.", "null"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refusal_is_a_sentence_with_a_hint(world: Asking, case: str) -> None:
    method, arguments, status, sentence, details = REFUSED[case]
    async with world.client(A) as client:
        answer = await client.request(method, TABLE, **arguments)
    said = answer.json()
    assert (answer.status_code, said["message"]) == (status, sentence)
    assert json.loads(said["details"] or "null") == json.loads(details)
    assert said["hint"]


async def test_an_upsert_that_changes_nothing_is_an_insert(world: Asking) -> None:
    prepare(world.superuser)
    prefer = {"Prefer": "resolution=ignore-duplicates, return=representation"}
    async with world.client(A) as client:
        new = await client.post(TABLE, json=GOOD, headers=prefer)
        known = await client.post(TABLE, json=GOOD | {"id": REQUEST_A}, headers=prefer)
    assert [len(one.json()) for one in (new, known)] == [1, 0]
    prepare(world.superuser)


async def test_the_caller_may_be_named_as_the_owner(world: Asking) -> None:
    prepare(world.superuser)
    async with world.client(A) as client:
        answer = await client.post(TABLE, json=GOOD | {"user_id": USER_A, "status": "queued"})
    assert answer.status_code == httpx.codes.CREATED, answer.text
    prepare(world.superuser)
