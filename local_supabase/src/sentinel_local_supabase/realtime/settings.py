"""Pace and limits of the Realtime server; the defaults match the real one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

RealtimePace = Literal["real", "fast"]
EVENTS_PER_SECOND: Final = 100


@dataclass(frozen=True, slots=True)
class ChangesSettings:
    """Polling intervals in seconds and rate limit of postgres_changes.

    Above `events_per_second` on average (changes × subscriptions; None: no limit) all are dropped for everyone.
    The publication's tables are checked every `publication_check_seconds`.
    """

    busy_poll_seconds: float = 0.1
    idle_poll_seconds: float = 0.5
    reconnect_seconds: float = 0.5
    publication_check_seconds: float = 60.0
    changes_a_poll: int = 1000
    events_per_second: int | None = EVENTS_PER_SECOND


@dataclass(frozen=True, slots=True)
class SocketSettings:
    """Limits of a connection.

    It is closed after `idle_seconds` without a frame from the client (heartbeats count). A refused join gets
    its reply after `refusal_seconds`, during which the whole connection is blocked. A client that lets
    `queued_bytes` accumulate is disconnected.
    """

    idle_seconds: float = 66.0
    refusal_seconds: float = 5.0
    queued_bytes: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RealtimeSettings:
    """All settings. A connection with an invalid key is refused after `refused_key_seconds`.

    Above `broadcasts_per_second` on average (broadcasts and their deliveries; None: no limit) broadcasts from the
    database are dropped.
    """

    changes: ChangesSettings = field(default_factory=ChangesSettings)
    sockets: SocketSettings = field(default_factory=SocketSettings)
    refused_key_seconds: float = 2.0
    broadcasts_per_second: int | None = EVENTS_PER_SECOND

    @staticmethod
    def at(pace: RealtimePace = "real", *, events_per_second: int | None = EVENTS_PER_SECOND) -> RealtimeSettings:
        """Return the settings of a pace: `real` polls and refuses as slowly as the real server, `fast` at once."""
        if pace == "real":
            return RealtimeSettings(
                ChangesSettings(events_per_second=events_per_second), broadcasts_per_second=events_per_second
            )
        return RealtimeSettings(
            ChangesSettings(
                busy_poll_seconds=0.01,
                idle_poll_seconds=0.02,
                reconnect_seconds=0.05,
                publication_check_seconds=1.0,
                events_per_second=events_per_second,
            ),
            SocketSettings(refusal_seconds=0.3),
            refused_key_seconds=0.05,
            broadcasts_per_second=events_per_second,
        )
