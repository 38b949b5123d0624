"""Outcomes over a real socket: one that the server refuses does not block others."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
import structlog

from sentinel_worker.config import settings
from sentinel_worker.domain.request import Finish
from sentinel_worker.queue.client import QueueClient
from sentinel_worker.queue.outcomes import Outcomes
from sentinel_worker.supabase_client import connections
from sentinel_worker.supabase_client.keys import WorkerKeys
from tests.claims import a_claim
from tests.supervised import supervisor
from tests.waits import until

POISON = "poison"
ASKED: list[list[dict[str, Any]]] = []
"""The outcomes of each call."""
SPOILED: list[dict[str, Any]] = []
"""Answers with HTTP status 400 that the next calls get."""
LOCKED: set[str] = set()
"""Words of outcomes whose rows are locked."""
REFUSED = asyncio.Event()
"""Set when an outcome was refused on its own and waits."""
BLOCKED: dict[str, str] = {}
"""Words that a firewall in front of the server blocks, with the status of its answer."""


def state_of(entry: dict[str, Any]) -> str:
    return "busy" if any(word in str(entry) for word in LOCKED) else "failed"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Refuse every call that contains the poison, as PostgREST refuses values that jsonb cannot store."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        body = await reader.readexactly(length)
        entries = json.loads(body)["args"]["outcomes"]
        ASKED.append(entries)
        blocked = next((status for word, status in BLOCKED.items() if word.encode() in body), None)
        refused = bool(SPOILED) or POISON.encode() in body
        rows = [{"id": entry["id"], "answer": state_of(entry), "due_in_seconds": None} for entry in entries]
        refusal = SPOILED.pop() if SPOILED else {"code": "22P05", "message": "unsupported"}
        said = b"<h1>Blocked</h1>" if blocked else json.dumps(refusal if refused else rows).encode()
        status = blocked or ("400 Bad Request" if refused else "200 OK")
        headers = f"content-type: application/json\r\ncontent-length: {len(said)}\r\n\r\n"
        writer.write(f"HTTP/1.1 {status}\r\n{headers}".encode() + said)


@asynccontextmanager
async def outcomes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Outcomes]:
    served: list[asyncio.Task[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(asyncio.IncompleteReadError):
            await answer(reader, writer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    monkeypatch.setenv("SUPABASE_URL", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_x")
    loaded = settings.load()
    client = connections.connect(loaded, WorkerKeys(loaded))
    try:
        running = Outcomes(QueueClient(client, uuid.uuid4()), refused=REFUSED.set)
        task = asyncio.create_task(running.run(supervisor()))
        yield running
        task.cancel()
        await asyncio.wait([task])
    finally:
        await connections.close(client)
        server.close()
        await asyncio.gather(*served)


async def test_a_refused_outcome_blocks_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    finishes = [Finish("failed", error_code=code) for code in ("first", POISON, "last")]
    async with outcomes(monkeypatch) as running:
        answers = await asyncio.gather(*(running.write(a_claim(), finish) for finish in finishes))
    assert [answer.status for answer in answers] == ["failed", "invalid", "failed"]


@pytest.mark.parametrize(
    "answer",
    [
        {"code": "", "details": None, "hint": None, "message": ""},  # PostgreSQL crashed during the call
        {"code": "42703", "details": None, "hint": None, "message": "column does not exist"},
    ],
    ids=["blank", "named"],
)
async def test_a_refusal_that_does_not_name_the_data_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    """A finished analysis was failed as `result_refused` because its finish met a crash of PostgreSQL."""
    SPOILED[:] = [answer, answer]
    async with outcomes(monkeypatch) as running, asyncio.timeout(20):
        answers = await asyncio.gather(*(running.write(a_claim(), Finish("succeeded")) for _ in range(2)))
    assert [answer.status for answer in answers] == ["failed", "failed"]
    assert not SPOILED


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "406 Not Acceptable"])
async def test_an_outcome_that_is_refused_without_a_reason_waits_alone(
    monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """A firewall that took one outcome for an attack kept all outcomes of the worker from being written."""
    monkeypatch.setattr("sentinel_worker.queue.outcomes.RETRY_CAP_SECONDS", 0.2)
    monkeypatch.setattr("sentinel_worker.supabase_client.connections.REFUSED_RETRY_SECONDS", 0.01)
    BLOCKED["curse"] = status
    REFUSED.clear()
    with structlog.testing.capture_logs() as lines:
        async with outcomes(monkeypatch) as running, asyncio.timeout(20):
            cursed = asyncio.create_task(running.write(a_claim(), Finish("succeeded", result={"x": "curse"})))
            others = [running.write(a_claim(), Finish("failed")) for _ in range(2)]
            assert [answer.status for answer in await asyncio.gather(*others)] == ["failed", "failed"]
            await REFUSED.wait()
            assert running.refusal is not None
            assert status[:3] in running.refusal
            asked = len(ASKED)
            await until(lambda: len(ASKED) > asked + 3, what="it is asked again and again")
            assert (await running.write(a_claim(), Finish("failed"))).status == "failed"
            assert not cursed.done()
            BLOCKED.clear()
            assert (await cursed).status == "failed"
            assert running.refusal is None
    assert all(len(entries) == 1 for entries in ASKED[asked:])
    told = [line for line in lines if line["event"] == "worker.call_failed" and line["log_level"] == "warning"]
    assert [line.get("batch", 1) for line in told] == [3, 1]


async def test_an_outcome_that_was_refused_and_is_locked_now_blocks_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentinel_worker.queue.outcomes.RETRY_CAP_SECONDS", 0.2)
    BLOCKED["curse"] = "400 Bad Request"
    REFUSED.clear()
    async with outcomes(monkeypatch) as running, asyncio.timeout(20):
        cursed = asyncio.create_task(running.write(a_claim(), Finish("succeeded", result={"x": "curse"})))
        await REFUSED.wait()
        LOCKED.add("curse")
        BLOCKED.clear()
        asked = len(ASKED)
        await until(lambda: len(ASKED) > asked + 2, what="it is asked again and again")
        assert (await running.write(a_claim(), Finish("failed"))).status == "failed"
        assert not cursed.done()
        LOCKED.clear()
        assert (await cursed).status == "failed"


async def test_refused_outcomes_are_asked_again_at_once_with_a_new_key(monkeypatch: pytest.MonkeyPatch) -> None:
    BLOCKED["curse"] = "401 Unauthorized"
    async with outcomes(monkeypatch) as running, asyncio.timeout(20):
        writes = [
            asyncio.create_task(running.write(a_claim(), Finish("succeeded", result={"x": "curse"}))) for _ in range(3)
        ]
        await until(lambda: len(running._refused) == 3, what="each is refused")
        BLOCKED.clear()
        running.key_changed()
        assert [(await write).status for write in writes] == ["failed"] * 3


async def test_two_claims_of_one_request_are_not_asked_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Responses name only the request, so each claim's response must reach it."""
    older = a_claim()
    newer = replace(older, fence=uuid.uuid4())
    async with outcomes(monkeypatch) as running:
        answers = await asyncio.gather(*(running.write(claim, Finish("failed")) for claim in (older, newer)))
    assert [answer.status for answer in answers] == ["failed", "failed"]
    assert [len(entries) for entries in ASKED[-2:]] == [1, 1]


def test_what_json_cannot_hold_is_taken_out() -> None:
    params = {"x\0": float("nan"), "y": [float("inf"), 1.5], "n": [10**5000, -(2**53), 2**53 - 1, True]}
    entry = Finish("failed", error_message="a\0b\ud800", error_params=params).as_json(a_claim())
    assert entry["error_message"] == "ab?"
    assert entry["error_params"] == {"x": None, "y": [None, 1.5], "n": [None, None, 2**53 - 1, True]}


def nested(levels: int) -> dict[str, Any]:
    inside: dict[str, Any] = {}
    for _ in range(levels):
        inside = {"x": inside}
    return inside


@pytest.mark.parametrize("result", [{"x": object()}, nested(100_000), {"x": {1, 2}}], ids=["object", "deep", "set"])
async def test_an_outcome_that_cannot_be_written_is_invalid_and_blocks_no_other(
    monkeypatch: pytest.MonkeyPatch, result: dict[str, Any]
) -> None:
    finishes = [Finish("succeeded"), Finish("succeeded", result=result), Finish("failed")]
    async with outcomes(monkeypatch) as running, asyncio.timeout(20):
        answers = await asyncio.gather(*(running.write(a_claim(), finish) for finish in finishes))
    assert [answer.status for answer in answers] == ["failed", "invalid", "failed"]


async def test_a_sum_of_a_childs_numbers_is_written_or_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python can add numbers valid in JSON to a sum that JSON cannot represent."""
    result = {"media": {"unreadable_frames": 2 * int("9" * 4300)}}
    async with outcomes(monkeypatch) as running, asyncio.timeout(20):
        answer = await running.write(a_claim(), Finish("succeeded", result=result))
    assert answer.status == "failed"
    assert ASKED[-1][0]["result"] == {"media": {"unreadable_frames": None}}
