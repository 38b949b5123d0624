"""Comparison of local and recorded Realtime frames: masked values, and free order."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.contract.realtime_frames import Frame, long_text

_CUT = re.compile(r"\.\.\.\[cut (\d+)")
_AGE = re.compile(r"expired \d+ seconds")


@dataclass(frozen=True, slots=True)
class FreeOrder:
    """A free order: adjacent frames of two events may come in either order, only in these recordings."""

    recordings: tuple[str, ...]
    events: frozenset[str]
    reason: str


FREE_ORDERS = (
    FreeOrder(
        ("01_join_insert_update_delete", "2.102.1/01_join_insert_update_delete"),
        frozenset({"presence_state", "system"}),
        "both orders were recorded: presence is told while the subscription waits for a server that does not yet "
        "follow the log (2.102.1), and after it where the server follows the log already (2.128.3)",
    ),
)


def arranged(recording: str, frames: Sequence[Frame]) -> list[Frame]:
    """Return the frames in order; adjacent ones whose order is free are sorted by event."""
    result = list(frames)
    for rule in FREE_ORDERS:
        for index in range(len(result) - 1) if recording in rule.recordings else ():
            pair = result[index : index + 2]
            if {frame["event"] for frame in pair} == rule.events:
                result[index : index + 2] = sorted(pair, key=lambda frame: str(frame["event"]))
    return result


class Side:
    """The frames of one connection, recorded or received here, in order of arrival.

    Binding ids differ between servers, so they become positions in the join reply.
    """

    def __init__(self) -> None:
        self._positions: dict[str, dict[int, int]] = {}
        self._presences: list[str] = []

    def comparable(self, frame: Frame) -> str:
        """Return a frame without values that differ between runs: ids, commit times, ages in seconds."""
        frame = self._masked(json.loads(_AGE.sub("expired 0 seconds", json.dumps(frame))))
        payload = frame["payload"]
        response = payload.get("response")
        if isinstance(response, dict) and "postgres_changes" in response:
            self._learn(frame["topic"], response["postgres_changes"])
        if "ids" in payload:
            payload["ids"] = self.bindings(frame)
            if payload["data"]["commit_timestamp"]:
                payload["data"]["commit_timestamp"] = re.sub(r"\d", "0", payload["data"]["commit_timestamp"])
        if "meta" in payload:
            same = payload["meta"]["id"] == payload["payload"]["id"]
            payload["meta"]["id"] = payload["payload"]["id"] = f"<uuid>, the same: {same}"
        return json.dumps(frame, sort_keys=True)

    def bindings(self, event: Frame) -> list[int | str]:
        """Return the positions of the bindings that an event names, in its order."""
        positions = self._positions.get(event["topic"], {})
        return [positions.get(number, f"no binding: {number}") for number in event["payload"]["ids"]]

    def _learn(self, topic: str, bindings: list[dict[str, Any]]) -> None:
        """Learn the ids of a join; equal ids are one binding, at the first position."""
        positions = self._positions[topic] = {}
        for position, binding in enumerate(bindings):
            binding["id"] = positions.setdefault(binding["id"], position)

    def _masked(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: self._presence(item) if key == "phx_ref" else self._masked(item) for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._masked(item) for item in value]
        if isinstance(value, str) and (cut := _CUT.search(value)):
            return long_text(int(cut[1]), value)
        return value

    def _presence(self, ref: str) -> str:
        if ref not in self._presences:
            self._presences.append(ref)
        return f"presence {self._presences.index(ref)}"
