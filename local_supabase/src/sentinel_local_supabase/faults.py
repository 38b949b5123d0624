"""Faults that the local Supabase shows on demand, as observed on the real servers.

`Faults` is the set of active faults, empty by default. A `Switch` holds the current set and is read at each use, so
that a test or `sentinel-worker dev --misbehave` can change the behaviour of a running stack.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

Service = Literal["auth", "rest", "storage"]
Body = Literal["json", "blank", "html", "empty"]

STATUSES = range(400, 600)
CLOSE_CODE = 1012
CLOSE_CODES = range(1000, 5000)
_UNSENDABLE_CLOSE_CODES = (1004, 1005, 1006, 1015)


@dataclass(frozen=True, slots=True)
class HttpFault:
    """Fault for HTTP requests to one service (None: to all) whose path contains `path`.

    With `status` (400 to 599) the request is not carried out: the response has that status, a `body` of that kind and
    perhaps `Retry-After`. Otherwise the request is carried out and its response is spoiled: `lose_answer` closes the
    connection instead of responding, `cut_after_bytes` truncates a longer body, `drip_bytes_per_second` slows it down.
    `delay_seconds` comes first in every case. `method` None matches every method except OPTIONS. `times` is the number
    of requests affected; None: all. The first fault that matches a request applies. Raises ValueError for a fault that
    contradicts itself or does nothing.
    """

    service: Service | None = None
    path: str = ""
    method: str | None = None
    status: int | None = None
    body: Body = "json"
    retry_after_seconds: int | None = None
    delay_seconds: float = 0.0
    lose_answer: bool = False
    cut_after_bytes: int | None = None
    drip_bytes_per_second: int | None = None
    times: int | None = None

    def __post_init__(self) -> None:
        """Reject impossible combinations."""
        cut_or_dripped = self.cut_after_bytes is not None or self.drip_bytes_per_second is not None
        spoilt = self.lose_answer or cut_or_dripped
        refusals = {
            f"the status must be between {STATUSES.start} and {STATUSES.stop - 1}": self.status
            not in (None, *STATUSES),
            "a status replaces the answer, so it cannot also be lost, cut or dripped": self.status and spoilt,
            "body and retry-after need a status": not self.status
            and (self.body != "json" or self.retry_after_seconds is not None),
            "a lost answer cannot be cut or dripped": self.lose_answer and cut_or_dripped,
            "seconds must be finite and not negative": not 0 <= self.delay_seconds < math.inf
            or (self.retry_after_seconds or 0) < 0,
            "cut-after must be at least 0 bytes": (self.cut_after_bytes or 0) < 0,
            "drip must be at least one byte a second": self.drip_bytes_per_second is not None
            and self.drip_bytes_per_second < 1,
            "times must be at least 1": self.times is not None and self.times < 1,
            "nothing happens: give a status, a delay, or a fault of the answer": not self.status
            and not self.delay_seconds
            and not spoilt,
        }
        for sentence, wrong in refusals.items():
            if wrong:
                raise ValueError(sentence)

    def fits(self, service: str | None, method: str, path: str) -> bool:
        """Return True if this fault applies to a request; `service` is None outside the services."""
        if self.service is not None and self.service != service:
            return False
        of_method = method != "OPTIONS" if self.method is None else method == self.method.upper()
        return of_method and self.path in path


@dataclass(frozen=True, slots=True)
class RealtimeFaults:
    """Faults of Realtime, during which sockets stay up and heartbeats are answered unless stated otherwise.

    Seconds count from the join of a channel, the opening of a connection, or the start of the fault.

    New connections: `refuse_status` refuses them with that HTTP status, `connect_seconds` delays the response.
    Connections: `close_sockets_after_seconds` closes them with `close_code`; `ignore_heartbeats` sends no replies to
    heartbeats; `mute` receives and sends nothing, like a half-open connection (WebSocket pings are still answered).
    Joins: `join_reply_seconds` delays replies; `refuse_joins` replies that the database cannot be reached;
    `lose_replies` carries out messages but replies only to heartbeats.
    Channels: `close_channels_after_seconds` closes each with a system error and phx_close, as when its token expires;
    `stale_close_after_seconds` sends the phx_close of an earlier join of the topic while the channel stays open.
    Readiness: `ready_seconds` delays the system message after which changes flow; `ready_again_after_seconds`
    repeats it; `changes_error_after_seconds` sends a system error: changes stop, but the channel stays joined.
    Events: `lose_changes` and `lose_broadcasts` silently deliver nothing (as over the rate limit);
    `delay_changes_seconds` delivers late, `repeat_changes` twice, `reorder_changes` swaps each pair; `thin_changes`
    sends the error of a missing grant instead of each row, `oversize_changes` frames over 1 MiB, `malform_changes`
    events without their `type`.
    """

    lose_changes: bool = False
    lose_broadcasts: bool = False
    ready_seconds: float = 0.0
    join_reply_seconds: float = 0.0
    close_channels_after_seconds: float | None = None
    close_sockets_after_seconds: float | None = None
    close_code: int = CLOSE_CODE
    ignore_heartbeats: bool = False
    refuse_status: int | None = None
    thin_changes: bool = False
    connect_seconds: float = 0.0
    mute: bool = False
    refuse_joins: bool = False
    lose_replies: bool = False
    stale_close_after_seconds: float | None = None
    ready_again_after_seconds: float | None = None
    changes_error_after_seconds: float | None = None
    delay_changes_seconds: float = 0.0
    repeat_changes: bool = False
    reorder_changes: bool = False
    oversize_changes: bool = False
    malform_changes: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for values that a server cannot apply and for a close code without a close."""
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name.endswith("_seconds") and value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{one.name} must be finite and not negative, not {value}")
        if self.refuse_status is not None and self.refuse_status not in STATUSES:
            raise ValueError(f"refuse_status must be between 400 and 599, not {self.refuse_status}")
        if self.close_code not in CLOSE_CODES or self.close_code in _UNSENDABLE_CLOSE_CODES:
            raise ValueError(f"close_code must be one that a WebSocket may send, not {self.close_code}")
        if self.close_code != CLOSE_CODE and self.close_sockets_after_seconds is None:
            raise ValueError("close_code needs close_sockets_after_seconds")


@dataclass(frozen=True, slots=True)
class Faults:
    """All faults active at one time."""

    http: tuple[HttpFault, ...] = ()
    realtime: RealtimeFaults = field(default_factory=RealtimeFaults)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain types for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Faults:
        """Convert from the form of `to_dict`. Raises KeyError, TypeError or ValueError for invalid input."""
        return Faults(tuple(HttpFault(**one) for one in values["http"]), RealtimeFaults(**values["realtime"]))


class Switch:
    """The faults of a running gateway. Assigning `now` changes them and calls the listeners."""

    def __init__(self) -> None:
        self._now = Faults()
        self._listeners: list[Callable[[], None]] = []

    @property
    def now(self) -> Faults:
        """The faults active now."""
        return self._now

    @now.setter
    def now(self, faults: Faults) -> None:
        self._now = faults
        for listener in self._listeners:
            listener()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change, in the event loop that made it."""
        self._listeners.append(listener)
