"""Questions on /realtime/v1: recipients of changes, and rights to listen and send on topics."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import httpx
import psycopg

from sentinel_local_supabase.keys import ProjectKeys
from tests.rights.listener import Frame, Listener
from tests.rights.matrix import Matrix
from tests.rights.universe import Universe
from tests.rights.world import CALLERS, REQUEST_A, REQUESTS_B, SERVICE, USER_A, USER_B, Identity, seed

OWNERS = {REQUEST_A: USER_A, **dict.fromkeys(REQUESTS_B, USER_B)}
FENCE = {"event": "*", "schema": "rights_probe", "table": "fence"}
LETTERS = {"INSERT": "I", "UPDATE": "U", "DELETE": "D"}
TOPICS = {
    "sentinel:wake, private": ("sentinel:wake", True),
    "another topic, private": ("another", True),
    "sentinel:wake, public": ("sentinel:wake", False),
    "another topic, public": ("another", False),
}


class RealtimeQuestions:
    """Questions to all identities at once, as they hear the same changes. `url` is the gateway's."""

    def __init__(
        self,
        url: str,
        keys: ProjectKeys,
        superuser: psycopg.Connection,
        universe: Universe,
        topics: Mapping[str, tuple[str, bool]] = TOPICS,
    ) -> None:
        self._url = url
        self._keys = keys
        self._superuser = superuser
        self._universe = universe
        self._topics = topics
        self._matrix = Matrix()

    async def ask_all(self) -> Matrix:
        """Ask about changes, then topics."""
        await self._ask_changes()
        for name, (topic, private) in self._topics.items():
            await self._ask_topic(name, topic, private=private)
        return self._matrix

    async def _ask_changes(self) -> None:
        names = [table.name for table in self._universe.tables]
        async with AsyncExitStack() as stack:
            listeners = [
                (who, await stack.enter_async_context(Listener(self._url, who, self._keys))) for who in CALLERS
            ]
            subscribed = [
                (who, listener, name)
                for who, listener in listeners
                for name in names
                if await self._subscribe(who, listener, name)
            ]
            seed(self._superuser)
            self._superuser.execute("update public.analysis_requests set stage = 'x'")
            self._superuser.execute("update public.analysis_results set notice = 'x'")
            await self._pass_fence(1, ((listener, name) for _, listener, name in subscribed))
            results = self._superuser.execute("select id::text, user_id::text from public.analysis_results").fetchall()
            self._superuser.execute("delete from public.analysis_results")
            self._superuser.execute("delete from public.analysis_requests")
            await self._pass_fence(2, ((listener, name) for _, listener, name in subscribed))
            owners = OWNERS | {str(result): str(owner) for result, owner in results}
            for who, listener, name in subscribed:
                changes = [frame["data"] for frame in listener.frames(name, "postgres_changes")]
                self._note_changes(who, name, [one for one in changes if one["table"] != "fence"], owners)
        seed(self._superuser)

    async def _subscribe(self, who: Identity, listener: Listener, name: str) -> bool:
        schema, _, table = name.partition(".")
        self._matrix.asked += len(LETTERS)
        assert await listener.join(name, {"event": "*", "schema": schema, "table": table}, FENCE)
        said = await listener.until(name, lambda frame: frame["event"] == "system")
        accepted = bool(said["payload"]["status"] == "ok")
        if accepted != (name in self._universe.published):
            self._matrix.unclear.append(f"{who.name} subscribed to {name}: {said['payload']['message']}")
        return accepted

    async def _pass_fence(self, number: int, channels: Iterable[tuple[Listener, str]]) -> None:
        self._superuser.execute("insert into rights_probe.fence values (%s)", [number])
        for listener, name in channels:
            await listener.until(name, lambda frame: _is_fence(frame, number))

    def _note_changes(self, who: Identity, name: str, changes: list[Frame], owners: dict[str, str]) -> None:
        for kind, letter in LETTERS.items():
            part = "old_record" if kind == "DELETE" else "record"
            rows = [one[part] for one in changes if one["type"] == kind and one[part]]
            seen = sorted(owners[row["id"]] for row in rows)
            found = {
                (): "",
                (who.user,): letter.lower(),
                (who.user, who.user): letter.lower(),
                (USER_A, USER_B, USER_B): letter,
            }.get(tuple(seen))
            if found is None:
                self._matrix.unclear.append(f"{who.name} got {kind} of {name} for {seen}")
            self._matrix.add("changes", name, who.name, found or "")

    async def _ask_topic(self, name: str, topic: str, *, private: bool) -> None:
        async with AsyncExitStack() as stack:
            ear = await stack.enter_async_context(Listener(self._url, SERVICE, self._keys))
            assert await ear.join(topic, private=private)
            listeners = [await stack.enter_async_context(Listener(self._url, who, self._keys)) for who in CALLERS]
            # All at once: a refusal takes five seconds.
            joined = await asyncio.gather(*(listener.join(topic, private=private) for listener in listeners))
            for who, listener, is_in in zip(CALLERS, listeners, joined, strict=True):
                await self._speak(who, topic, private=private)
                if is_in:
                    self._matrix.asked += 1
                    await listener.broadcast(topic, f"{who.name} by socket")
            # Messages on the public topic must not arrive on the private topic of the same name, or vice versa.
            self._send_from_database(topic, "of the twin", private=not private)
            self._send_from_database(topic, "the end", private=private)
            heard = await _events_until_end(ear, topic)
            for who, listener, is_in in zip(CALLERS, listeners, joined, strict=True):
                self._matrix.asked += 1
                hears = is_in and "the end" in await _events_until_end(listener, topic)
                self._matrix.add("topics", name, who.name, "L" if hears else "")
                by_http, by_socket = f"{who.name} by http" in heard, f"{who.name} by socket" in heard
                if is_in and by_http != by_socket:
                    self._matrix.unclear.append(f"{who.name} on {name}: http {by_http}, socket {by_socket}")
                self._matrix.add("topics", name, who.name, "W" if by_http else "")
            if "of the twin" in heard:
                self._matrix.unclear.append(f"{name} hears its twin")

    async def _speak(self, who: Identity, topic: str, *, private: bool) -> None:
        self._matrix.asked += 1
        message: dict[str, Any] = {"topic": topic, "event": f"{who.name} by http", "payload": {}, "private": private}
        async with httpx.AsyncClient(base_url=self._url, headers=who.headers(self._keys)) as client:
            answer = await client.post("/realtime/v1/api/broadcast", json={"messages": [message]})
        if answer.status_code != httpx.codes.ACCEPTED:
            self._matrix.unclear.append(f"{who.name} broadcasts on {topic}: {answer.status_code} {answer.text}")

    def _send_from_database(self, topic: str, event: str, *, private: bool) -> None:
        self._superuser.execute("select realtime.send('{}'::jsonb, %s, %s, %s)", [event, topic, private])


def _is_fence(frame: Frame, number: int) -> bool:
    if frame["event"] != "postgres_changes":
        return False
    data = frame["payload"]["data"]
    return bool(data["table"] == "fence" and data["record"] == {"id": number})


async def _events_until_end(listener: Listener, topic: str) -> set[str]:
    await listener.until(topic, lambda f: f["event"] == "broadcast" and f["payload"]["event"] == "the end")
    return {payload["event"] for payload in listener.frames(topic, "broadcast")}
