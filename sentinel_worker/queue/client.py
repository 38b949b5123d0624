"""Typed calls of the queue's functions in the database. Errors are `Transient` or `Permanent`.

A call that timed out may have been carried out. Each function is idempotent, so any `Transient` can be retried. Only
one claim may be in flight per worker.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from postgrest.exceptions import APIError
from supabase import AsyncClient, Client

from sentinel_worker import __version__
from sentinel_worker.domain.errors import Permanent, Transient
from sentinel_worker.domain.request import Claim, Finish, Stage, UnreadableClaim
from sentinel_worker.observe import logs
from sentinel_worker.supabase_client.breaker import Circuit
from sentinel_worker.supabase_client.connections import network_errors

_NO_JSON = (ValueError, RecursionError, APIError)
"""Raised by supabase-py for invalid JSON, or valid JSON that Python refuses: huge integers, hundreds of levels."""
_OTHER_SHAPE = (ValueError, KeyError, IndexError, TypeError, OverflowError, AttributeError)
"""Raised by parsing a row of an unexpected shape."""
UNREADABLE = Finish(
    "failed",
    stage="fetching",
    error_code="request_unreadable",
    error_message="The worker cannot read this request: one of its values is of an unexpected form.",
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to a finish: the request's new status, or `lost`, `busy` (retry), `invalid`.

    `due_in_seconds` is set if the request will be queued again.
    """

    status: str
    due_in_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Maintained:
    """Answer to a maintenance: what is due next.

    `next_due_seconds` is the time until the next scheduled request or lease is due, None without any. `removals_due`:
    files in Storage are to be removed now. `drain`: an admin has asked this worker to drain.
    """

    next_due_seconds: float | None
    removals_due: bool
    drain: bool


@dataclass(frozen=True, slots=True)
class MissingRight:
    """A right that this worker's role lacks. If it is `needed`, the worker cannot process requests without it.

    `remedy` is the SQL that grants it, for the project's owner.
    """

    name: str
    needed: bool
    sentence: str
    remedy: str


class QueueClient:
    """Calls of one worker, identified by a uuid that is new at each process start; they feed `circuit`.

    `refused` is called with the function's name when a call is refused for lack of a right.
    """

    def __init__(
        self,
        client: AsyncClient,
        worker: UUID,
        circuit: Circuit | None = None,
        *,
        refused: Callable[[str], None] = lambda _function: None,
    ) -> None:
        self.circuit = circuit or Circuit()
        self._refused = refused
        self._client = client
        self._worker = str(worker)

    async def claim(
        self,
        lanes: Sequence[str],
        *,
        limit: int,
        lease_seconds: float,
        held: Iterable[UUID],
        slots: int | None = None,
        holding: Mapping[UUID, int] | None = None,
    ) -> list[Claim]:
        """Claim up to `limit` requests of `lanes`; this worker's claims that are missing from `held` come first.

        Of all `slots` of this worker, a user gets at most half of those that the others leave; `holding` counts the
        requests of each user that it runs. Without `slots` there is no such limit. A request that
        this worker cannot read fails, and the others are returned.
        """
        args = {
            "lanes": list(lanes),
            "limit": limit,
            "lease_seconds": lease_seconds,
            "held": [str(request_id) for request_id in held],
            "slots": slots,
            "holding": {str(user): count for user, count in (holding or {}).items()},
        }
        while True:
            claims, unreadable = _claims(await self._call("sentinel_claim", args))
            ended = await self._fail_unreadable(unreadable) if unreadable else 0
            if claims or ended == 0:
                return claims

    async def _fail_unreadable(self, claims: Sequence[UnreadableClaim]) -> int:
        """Fail these requests; return how many will not be offered again. If the call fails, the next claim offers
        them again, because nobody lists them as held."""
        rows = await self._call("sentinel_finish", {"outcomes": [UNREADABLE.as_json(claim) for claim in claims]})
        with _readable("sentinel_finish"):
            return sum(row["answer"] not in ("busy", "invalid") for row in rows)

    async def progress(self, changes: Mapping[Claim, tuple[Stage, int]]) -> None:
        """Write stage and percentage of running requests; rows that this worker no longer holds are unchanged."""
        entries = [claim.key | {"stage": stage, "progress": percent} for claim, (stage, percent) in changes.items()]
        await self._call("sentinel_progress", {"progress": entries})

    async def finish(self, outcomes: Sequence[tuple[Claim, Finish]]) -> dict[UUID, Answer]:
        """Write outcomes; a repeated outcome gets the same answer as the first time.

        Raises `Permanent('data_refused')` also if one of them cannot be encoded.
        """
        entries = [_entry(claim, finish) for claim, finish in outcomes]
        rows = await self._call("sentinel_finish", {"outcomes": entries})
        with _readable("sentinel_finish"):
            return {UUID(row["id"]): Answer(row["answer"], row["due_in_seconds"]) for row in rows}

    async def maintain(self, *, name: str, lanes: Sequence[str], slots: int) -> Maintained:
        """Register this worker, promote and expire rows; return what is due next."""
        args = {"name": name, "version": __version__, "lanes": list(lanes), "slots": slots}
        rows = await self._call("sentinel_maintain", args)
        with _readable("sentinel_maintain"):
            # A database that was not migrated yet says neither: then the worker has to look, and goes on.
            found = rows[0]
            return Maintained(found["next_due_seconds"], found.get("removals_due", True), found.get("drain", False))

    async def leave(self) -> None:
        """Remove this worker from the list of workers, because it stops."""
        await self._call("sentinel_maintain", {"stopping": True})

    async def deletions(self, *, limit: int) -> list[tuple[str, str]]:
        """Return bucket and name of objects to remove; objects that remain are returned again later."""
        rows = await self._call("sentinel_deletions", {"limit": limit})
        with _readable("sentinel_deletions"):
            return [(row["bucket_id"], row["name"]) for row in rows]

    async def missing_rights(self) -> list[MissingRight]:
        """Return the rights that this worker's role should have and lacks."""
        rows = await self._call("sentinel_rights", {})
        with _readable("sentinel_rights"):
            return [MissingRight(**row) for row in rows]

    async def _call(self, function: str, args: dict[str, Any]) -> list[dict[str, Any]]:
        unreadable: Exception | None = None
        try:
            with self.circuit.call(), network_errors():
                try:
                    answer = await self._client.rpc(function, {"args": {"worker": self._worker, **args}}).execute()
                except _NO_JSON as error:  # hidden from the circuit: Supabase did respond
                    unreadable = error
        except Transient as error:
            if error.code == "access_refused":
                self._refused(function)
            raise
        if unreadable is not None:
            raise _not_read(function, unreadable) from unreadable
        return _rows(function, answer.data)


def heartbeat(client: Client, worker: UUID, claims: Iterable[Claim], lease_seconds: float) -> dict[UUID, str]:
    """Extend leases, from a separate thread; return `ok`, `cancel`, `busy` (not extended) or `lost` for each."""
    args = {"worker": str(worker), "lease_seconds": lease_seconds, "leases": [claim.key for claim in claims]}
    with network_errors():
        try:
            answer = client.rpc("sentinel_heartbeat", {"args": args}).execute()
        except _NO_JSON as error:
            raise _not_read("sentinel_heartbeat", error) from error
    with _readable("sentinel_heartbeat"):
        return {UUID(row["id"]): row["answer"] for row in _rows("sentinel_heartbeat", answer.data)}


def _claims(rows: Sequence[dict[str, Any]]) -> tuple[list[Claim], list[UnreadableClaim]]:
    """Return the claims, and those that cannot be read. Raises Transient if no row has even an identity."""
    claims: list[Claim] = []
    unreadable: list[UnreadableClaim] = []
    nameless: Transient | None = None
    for row in rows:
        try:
            with _readable("sentinel_claim"):
                claims.append(Claim.from_row(row))
        except Transient as error:
            log.error(logs.CALL_FAILED, call="claim", error_code=error.code, error=error.message)
            try:
                with _readable("sentinel_claim"):
                    unreadable.append(UnreadableClaim.from_row(row))
            except Transient:
                nameless = error
    if nameless is not None and not claims and not unreadable:
        raise nameless
    return claims, unreadable


def _rows(function: str, answer: Any) -> list[dict[str, Any]]:
    if isinstance(answer, list) and all(isinstance(row, dict) for row in answer):
        return answer
    raise Transient("supabase_unavailable", f"{function} returned something other than rows.")


@contextmanager
def _readable(function: str) -> Iterator[None]:
    """Translate Python's errors over rows of an unexpected shape."""
    try:
        yield
    except _OTHER_SHAPE as error:
        raise _not_read(function, error) from error


def _not_read(function: str, error: Exception) -> Transient:
    said = f"{function} returned something that cannot be parsed ({type(error).__name__})."
    return Transient("supabase_unavailable", said)


def _entry(claim: Claim, finish: Finish) -> dict[str, Any]:
    try:
        entry = finish.as_json(claim)
        json.dumps(entry, ensure_ascii=False, allow_nan=False).encode()  # like httpx, which would fail too late
    except (TypeError, ValueError, RecursionError) as error:
        raise Permanent("data_refused", f"An outcome cannot be encoded as JSON ({type(error).__name__}).") from error
    return entry
