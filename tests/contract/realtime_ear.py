"""One connection during a replay: compares received frames with the recorded ones, in order."""

from __future__ import annotations

from collections.abc import Sequence

from websockets.exceptions import ConnectionClosed

from tests.contract.realtime_frames import Frame
from tests.contract.realtime_probe import Differs
from tests.contract.realtime_sides import Side, arranged
from tests.integration.realtime.conftest import Client

_SHOWN_CHARACTERS = 300


class Ear:
    """Listens to `client`; frames of the events in `passes_over` are not compared."""

    def __init__(self, client: Client, recording: str, patience_seconds: float, passes_over: frozenset[str]) -> None:
        self.client = client
        self._recording = recording
        self._patience_seconds = patience_seconds
        self._passes_over = passes_over
        self._here = Side()
        self._there = Side()
        self._last: Frame = {}

    async def expect(self, frames: Sequence[Frame]) -> None:
        """Receive these frames, in this order."""
        got: list[Frame] = []
        silence: Differs | None = None
        try:
            for _ in frames:
                got.append(await self.receive())  # noqa: PERF401 - frames received before an error are compared, too
        except Differs as differs:
            silence = differs
        here = [self._here.comparable(frame) for frame in arranged(self._recording, got)]
        there = [self._there.comparable(frame) for frame in arranged(self._recording, frames)]
        if pairs := [(a, b) for a, b in zip(here, there, strict=False) if a != b]:
            raise Differs("\n".join(_told(a, b) for a, b in pairs))
        if silence is not None:
            raise Differs(f"{silence}, recorded {there[len(here)][:_SHOWN_CHARACTERS]}")
        self._last = frames[-1] if frames else self._last

    async def expect_more(self, count: int) -> None:
        """Receive `count` changes that were not recorded, for the bindings of the last change."""
        bindings = self._there.bindings(self._last)
        for _ in range(count):
            frame = await self.receive()
            if frame["event"] != "postgres_changes" or self._here.bindings(frame) != bindings:
                raise Differs(f"got {frame} in a burst")

    async def receive(self) -> Frame:
        """Return the next frame that is not passed over."""
        while True:
            try:
                frame = await self.client.receive(seconds=self._patience_seconds)
            except TimeoutError as error:
                raise Differs("nothing came") from error
            if frame["event"] not in self._passes_over:
                return frame

    async def expect_nothing(self) -> None:
        """Expect only the reply to a heartbeat."""
        await self.client.send("phoenix", "heartbeat", {})
        if (frame := await self.receive())["topic"] != "phoenix":
            raise Differs(f"got {frame} before the end")

    async def expect_close(self, recorded: str | None = None) -> None:
        """Expect the server to close the connection as recorded, by default with code 1000."""
        try:
            frame = await self.receive()
        except ConnectionClosed as closed:
            as_recorded = str(closed) == recorded if recorded else closed.rcvd is not None and closed.rcvd.code == 1000
            if not as_recorded:
                raise Differs(f"closed: {closed}, recorded {recorded or 'code 1000'}") from closed
            return
        raise Differs(f"got {frame}, recorded {recorded or 'the end'}")


def _told(here: str, there: str) -> str:
    """Describe both frames, from shortly before they differ."""
    same = next((index for index, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), 0)
    start = max(same - 100, 0)
    shown = slice(start, start + _SHOWN_CHARACTERS)
    return f"got {'…' * bool(start)}{here[shown]}, recorded {'…' * bool(start)}{there[shown]}"
