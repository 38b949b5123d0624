"""A claimed row, and the worker's report about it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self
from uuid import UUID

from sentinel_worker.domain.json_numbers import LARGEST
from sentinel_worker.observe.masking import mask, masked

MediaKind = Literal["video", "image", "audio", "auto"]
Outcome = Literal["succeeded", "failed", "retry", "snoozed", "released", "cancelled"]
Stage = Literal["fetching", "probing", "analyzing", "deriving", "finishing"]

SAME_TIME = timedelta(seconds=0.5)
"""Tolerance of `run_at`, which is calculated from two readings of the database's clock, one after the other."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One request that this worker holds under `fence` until its lease ends.

    All times are by the database's clock: `lease_seconds` was left of the lease when the claim was answered, and for
    `queued_seconds` the row had been ready to claim. `was_scheduled` is True if it became ready after the insert: at a
    time that the user chose, or for a retry. After `answer_seconds` nobody needs the answer any more; None: always.
    `preview`: the user wants one.
    """

    id: UUID
    fence: UUID
    user_id: UUID
    media_kind: MediaKind
    storage_path: str | None
    source_url: str | None
    detector: str | None
    attempt: int
    cancel_requested: bool
    created_at: datetime
    lease_seconds: float
    queued_seconds: float
    was_scheduled: bool
    reoffered: bool
    answer_seconds: float | None
    preview: bool = False

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read a row of `sentinel_claim`; columns added by a newer database are ignored."""
        created_at = datetime.fromisoformat(row["created_at"])
        lease_seconds, queued_seconds = float(row["lease_seconds"]), float(row["queued_seconds"])
        run_at = datetime.fromisoformat(row["lease_until"]) - timedelta(seconds=lease_seconds + queued_seconds)
        return cls(
            id=UUID(row["id"]),
            fence=UUID(row["fence"]),
            user_id=UUID(row["user_id"]),
            media_kind=row["media_kind"],
            storage_path=row["storage_path"],
            source_url=row["source_url"],
            detector=row["detector"],
            attempt=row["attempt"],
            cancel_requested=row["cancel_requested"],
            created_at=created_at,
            lease_seconds=lease_seconds,
            queued_seconds=queued_seconds,
            was_scheduled=run_at - created_at > SAME_TIME,
            reoffered=row["reoffered"],
            answer_seconds=row.get("answer_seconds"),
            preview=row.get("preview") is True,  # absent until the database is migrated
        )

    @property
    def age_seconds(self) -> float:
        """Seconds since the insert, by this machine's clock."""
        return (datetime.now(UTC) - self.created_at).total_seconds()

    @property
    def key(self) -> dict[str, str]:
        """Identity and fence, which every write of a worker carries."""
        return {"id": str(self.id), "fence": str(self.fence)}


@dataclass(frozen=True, slots=True)
class UnreadableClaim:
    """Identity and fence of a claimed row whose other values cannot be read."""

    id: UUID
    fence: UUID

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read only the two uuids of a row of `sentinel_claim`."""
        return cls(UUID(row["id"]), UUID(row["fence"]))

    @property
    def key(self) -> dict[str, str]:
        """Identity and fence, which every write of a worker carries."""
        return {"id": str(self.id), "fence": str(self.fence)}


@dataclass(frozen=True, slots=True)
class Finish:
    """A worker's report about one claim; `None` fields are left to the database.

    `compute` is `Compute.as_json`, which the database counts for the user.
    """

    outcome: Outcome
    stage: Stage | None = None
    result: Mapping[str, Any] | None = None
    software: Mapping[str, str] | None = None
    error_code: str | None = None
    error_message: str | None = None
    error_params: Mapping[str, Any] = field(default_factory=dict)
    error_detail: Mapping[str, Any] = field(default_factory=dict)
    delay_seconds: float | None = None
    compute: Mapping[str, float] | None = None

    def as_json(self, claim: Claim | UnreadableClaim) -> dict[str, Any]:
        """Element of `sentinel_finish`'s `outcomes` for `claim`, without secrets or values that JSON or jsonb
        refuses."""
        entry = claim.key | {
            "outcome": self.outcome,
            "stage": self.stage,
            "result": self.result,
            "software": self.software,
            "error_code": self.error_code,
            "error_message": None if self.error_message is None else mask(self.error_message),
            "error_params": masked(self.error_params),
            "error_detail": masked(self.error_detail),
            "delay_seconds": self.delay_seconds,
            "compute": self.compute,
        }
        return {name: _storable(value) for name, value in entry.items()}


def _storable(value: Any) -> Any:
    match value:
        case str():  # jsonb holds no NUL, UTF-8 no lone surrogate
            return value.replace("\0", "").encode(errors="replace").decode()
        case float() if not math.isfinite(value):
            return None
        case int() if abs(value) > LARGEST:
            return None
        case Mapping():
            return {_storable(name): _storable(item) for name, item in value.items()}
        case list() | tuple():
            return [_storable(item) for item in value]
        case _:
            return value
