"""Writing of outcomes to the database: batched, and repeated until they are answered.

No outcome blocks others. If a batch is refused, each of its outcomes is sent on its own. One that is then refused for
its data is `invalid`. Any other refusal says nothing about the outcome: a firewall may take it for an attack, or a key
may be rotating. It waits, and is sent again on its own.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from sentinel_worker.concurrency.backoff import full_jitter_seconds
from sentinel_worker.concurrency.supervisor import Supervisor
from sentinel_worker.concurrency.waiting import at_most
from sentinel_worker.domain.errors import CodedError, Permanent, Transient
from sentinel_worker.domain.request import Claim, Finish
from sentinel_worker.observe import logs
from sentinel_worker.queue.client import Answer, QueueClient

BATCH = 16
BUSY_RETRY_SECONDS = 0.1
RETRY_FIRST_SECONDS, RETRY_CAP_SECONDS = 0.2, 15.0
BUSY = Answer("busy")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Pending:
    """An outcome to be sent, `alone` if it was refused before."""

    finish: Finish
    alone: bool
    answer: asyncio.Future[Answer]


class Outcomes:
    """Single writer of this worker's outcomes; a finish is idempotent, so it is retried after a lost response.

    `refused` is called when an outcome begins to wait because it was refused.
    """

    def __init__(self, queue: QueueClient, *, refused: Callable[[], None] = lambda: None) -> None:
        self._queue = queue
        self._tell_refused = refused
        self._pending: dict[Claim, _Pending] = {}
        self._refused: dict[Claim, str] = {}
        self._added = asyncio.Event()
        self._key_changed = asyncio.Event()
        self._failures = 0

    @property
    def refusal(self) -> str | None:
        """Sentence about the outcome that has been refused for longest; None if no outcome waits for this reason."""
        return next(iter(self._refused.values()), None)

    async def write(self, claim: Claim, finish: Finish) -> Answer:
        """Write `finish` and wait for the database's answer, however long it takes."""
        refusals = 0
        try:
            while True:
                key_changed = self._key_changed
                try:
                    return await self._answer(claim, finish, alone=refusals > 0)
                except CodedError as refusal:
                    if refusal.code == "data_refused":
                        _tell(log.error, refusal)
                        return Answer("invalid")
                    refusals += 1
                    self._note(claim, refusal)
                    await at_most(_pause_seconds(refusal, refusals), key_changed)
        finally:
            self._refused.pop(claim, None)

    def key_changed(self) -> None:
        """Retry at once: what was refused with the old key may be accepted with the new one."""
        self._key_changed.set()
        self._key_changed = asyncio.Event()

    async def run(self, supervisor: Supervisor) -> None:
        """Write until cancelled."""
        await supervisor.repeat("outcomes", self._write_next, vital=True)

    async def _answer(self, claim: Claim, finish: Finish, *, alone: bool) -> Answer:
        """Have an outcome sent, and return its answer. Raises the error with which it was refused on its own."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._pending[claim] = _Pending(finish, alone, answer)
        self._added.set()
        try:
            return await answer
        finally:
            self._pending.pop(claim, None)

    def _note(self, claim: Claim, refusal: CodedError) -> None:
        if claim in self._refused:
            _tell(log.debug, refusal)
            return
        _tell(log.warning, refusal)
        self._refused[claim] = f"An outcome cannot be written, and is sent again and again. {refusal.message}"
        self._tell_refused()

    async def _write_next(self) -> None:
        circuit = self._queue.circuit
        await self._added.wait()
        await circuit.turn()
        key_changed = self._key_changed
        try:
            busy = await self._write_batch()
        except CodedError as error:
            _tell(log.debug if circuit.open else log.warning, error)
            self._failures += 1
            if not circuit.open:
                await at_most(_pause_seconds(error, self._failures), key_changed)
        else:
            self._failures = 0
            if busy:
                await asyncio.sleep(BUSY_RETRY_SECONDS)

    async def _write_batch(self) -> bool:
        """Write a batch of pending outcomes; return True if a row was locked and must be retried."""
        batch = self._next_batch()
        for claim, _ in batch:  # to the end: what is asked about again comes after the others
            self._pending[claim] = self._pending.pop(claim)
        busy = await self._ask(batch) if batch else False
        if not self._pending:
            self._added.clear()
        return busy

    def _next_batch(self) -> list[tuple[Claim, Finish]]:
        # One per request: answers carry no fence, and an older claim's must not be taken for a newer one's.
        first_of_each: dict[UUID, tuple[Claim, Finish]] = {}
        for claim, pending in self._pending.items():
            if not pending.alone:
                first_of_each.setdefault(claim.id, (claim, pending.finish))
            elif not first_of_each:
                return [(claim, pending.finish)]
        return list(first_of_each.values())[:BATCH]

    async def _ask(self, batch: Sequence[tuple[Claim, Finish]]) -> bool:
        """Settle a batch, one by one if it is refused; return True if a row was locked and must be retried.

        An error that may concern any call is raised: what has no answer yet is asked about again.
        """
        try:
            answers = await self._queue.finish(batch)
        except CodedError as error:
            if not (isinstance(error, Permanent) or error.code == "access_refused"):
                raise
            if len(batch) == 1:
                self._settle(batch[0][0], error)
                return False
            _tell(log.warning, error, batch=len(batch))
            return any([await self._ask([entry]) for entry in batch])
        for claim, _ in batch:
            self._settle(claim, answers.get(claim.id, BUSY))
        return any(answers.get(claim.id, BUSY) == BUSY for claim, _ in batch)

    def _settle(self, claim: Claim, answer: Answer | CodedError) -> None:
        pending = self._pending.get(claim)
        if pending is None or pending.answer.done() or answer == BUSY:
            return
        del self._pending[claim]
        if isinstance(answer, CodedError):
            pending.answer.set_exception(answer)
        else:
            pending.answer.set_result(answer)


def _tell(write: Callable[..., object], error: CodedError, **details: int) -> None:
    write(logs.CALL_FAILED, call="finish", error_code=error.code, error=error.message, **details)


def _pause_seconds(error: CodedError, failures: int) -> float:
    wished = error.retry_after_seconds if isinstance(error, Transient) else None
    return max(full_jitter_seconds(failures, first=RETRY_FIRST_SECONDS, cap=RETRY_CAP_SECONDS), wished or 0)
