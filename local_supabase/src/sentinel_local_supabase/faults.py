"""Faults that the local Supabase shows on demand: those that the real servers were seen to show.

`Faults` is what is wrong just now; nothing by default. A `Switch` holds the current one and is read at each use, so
that a test or `sentinel-worker dev --misbehave` can change what a running stack does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

Service = Literal["auth", "rest", "storage"]
Body = Literal["json", "html", "empty"]

STATUSES = range(400, 600)
CLOSE_CODE = 1012
CLOSE_CODES = range(1000, 5000)
_UNSENDABLE_CLOSE_CODES = (1004, 1005, 1006, 1015)


@dataclass(frozen=True, slots=True)
class HttpFault:
    """What happens to HTTP requests of one service (None: of all) whose path contains `path`.

    Either the request is answered with `status` (400 to 599), a `body` of that kind and perhaps `Retry-After`, and is
    not carried out; or it is carried out and its answer is spoiled: `lose_answer` closes the connection instead of
    answering, `cut_after_bytes` breaks off a longer body there, `drip_bytes_per_second` lets the body trickle.
    `delay_seconds` comes first in every case. `method` None meets every method but OPTIONS. `times` is how many
    requests it meets; None: all. Of several faults the first that fits a request meets it. Raises ValueError for a
    fault that contradicts itself or does nothing.
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
        """Refuse what could not happen."""
        cut_or_dripped = self.cut_after_bytes is not None or self.drip_bytes_per_second is not None
        spoilt = self.lose_answer or cut_or_dripped
        refusals = {
            f"the status lies between {STATUSES.start} and {STATUSES.stop - 1}": self.status not in (None, *STATUSES),
            "a request refused with a status has no other answer to lose, cut or drip": self.status and spoilt,
            "body and retry-after belong to a status": not self.status
            and (self.body != "json" or self.retry_after_seconds is not None),
            "a lost answer cannot be cut or dripped": self.lose_answer and cut_or_dripped,
            "seconds are finite and not negative": not 0 <= self.delay_seconds < math.inf
            or (self.retry_after_seconds or 0) < 0,
            "the answer is cut after 0 bytes or more": (self.cut_after_bytes or 0) < 0,
            "at least one byte a second drips": self.drip_bytes_per_second is not None
            and self.drip_bytes_per_second < 1,
            "times is at least 1": self.times is not None and self.times < 1,
            "nothing happens: give a status, a delay, or what becomes of the answer": not self.status
            and not self.delay_seconds
            and not spoilt,
        }
        for sentence, wrong in refusals.items():
            if wrong:
                raise ValueError(sentence)

    def fits(self, service: str | None, method: str, path: str) -> bool:
        """Whether it meets a request; `service` is None outside of the services."""
        if self.service is not None and self.service != service:
            return False
        of_method = method != "OPTIONS" if self.method is None else method == self.method.upper()
        return of_method and self.path in path


@dataclass(frozen=True, slots=True)
class RealtimeFaults:
    """How Realtime misbehaves, while its sockets stay up and its heartbeats are answered.

    Seconds are counted from the join of a channel or the opening of a connection, or from when the fault began.

    New connections: `refuse_status` refuses them with that HTTP status, `connect_seconds` delays the answer.
    Connections: `close_sockets_after_seconds` ends them with `close_code`; `ignore_heartbeats` leaves those
    unanswered; `mute` hears and says nothing, as if half open (WebSocket pings are still answered).
    Joins: `join_reply_seconds` delays their replies; `refuse_joins` says that the database cannot be reached;
    `lose_replies` sends no reply to anything but heartbeats, though it is done.
    Channels: `close_channels_after_seconds` ends each with a system error and phx_close, as when its token expires;
    `stale_close_after_seconds` sends the phx_close of an earlier join of the topic, and the channel goes on.
    Readiness: `ready_seconds` delays the system message after which changes flow; `ready_again_after_seconds`
    repeats it; `changes_error_after_seconds` takes it back with a system error: no changes, yet still joined.
    Events: `lose_changes` and `lose_broadcasts` deliver nothing, without a word (as over the rate limit);
    `delay_changes_seconds` delivers late, `repeat_changes` twice, `reorder_changes` each second one before the first;
    `thin_changes` sends the error of a missing grant in place of each row, `oversize_changes` frames over 1 MiB,
    `malform_changes` events without their `type`.
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
        """Raises ValueError, in words, for what a server cannot do and for a close code that closes nothing."""
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name.endswith("_seconds") and value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{one.name} must be finite and not negative, not {value}")
        if self.refuse_status is not None and self.refuse_status not in STATUSES:
            raise ValueError(f"refuse_status must be from 400 to 599, not {self.refuse_status}")
        if self.close_code not in CLOSE_CODES or self.close_code in _UNSENDABLE_CLOSE_CODES:
            raise ValueError(f"close_code must be one that a WebSocket may send, not {self.close_code}")
        if self.close_code != CLOSE_CODE and self.close_sockets_after_seconds is None:
            raise ValueError("close_code belongs to close_sockets_after_seconds")


@dataclass(frozen=True, slots=True)
class Faults:
    """Everything that is wrong at one time."""

    http: tuple[HttpFault, ...] = ()
    realtime: RealtimeFaults = field(default_factory=RealtimeFaults)

    def to_dict(self) -> dict[str, Any]:
        """In plain types, for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Faults:
        """The opposite of `to_dict`; raises KeyError, TypeError or ValueError for anything else."""
        return Faults(tuple(HttpFault(**one) for one in values["http"]), RealtimeFaults(**values["realtime"]))


class Switch:
    """The faults of a running gateway; assign `now` to change them, and whoever asked to hear of it does."""

    def __init__(self) -> None:
        self._now = Faults()
        self._listeners: list[Callable[[], None]] = []

    @property
    def now(self) -> Faults:
        """What is wrong just now."""
        return self._now

    @now.setter
    def now(self, faults: Faults) -> None:
        self._now = faults
        for listener in self._listeners:
            listener()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change, in the event loop that made it."""
        self._listeners.append(listener)
