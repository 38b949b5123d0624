"""Writing of outcomes to the database: batched, and retried until they are answered."""

import asyncio
from collections.abc import Sequence
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


class Outcomes:
    """Single writer of this worker's outcomes; a finish is idempotent, so it is retried after a lost response."""

    def __init__(self, queue: QueueClient) -> None:
        self._queue = queue
        self._pending: dict[Claim, tuple[Finish, asyncio.Future[Answer]]] = {}
        self._added = asyncio.Event()
        self._key_changed = asyncio.Event()
        self._failures = 0

    async def write(self, claim: Claim, finish: Finish) -> Answer:
        """Write `finish` and wait for the database's answer, however long it takes."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._pending[claim] = (finish, answer)
        self._added.set()
        try:
            return await answer
        finally:
            self._pending.pop(claim, None)

    def key_changed(self) -> None:
        """Retry at once: what was refused with the old key may be accepted with the new one."""
        self._key_changed.set()

    async def run(self, supervisor: Supervisor) -> None:
        """Write until cancelled."""
        await supervisor.repeat("outcomes", self._write_next, vital=True)

    async def _write_next(self) -> None:
        circuit = self._queue.circuit
        await self._added.wait()
        await circuit.turn()
        self._key_changed.clear()
        try:
            busy = await self._write_batch()
        except CodedError as error:
            wished = error.retry_after_seconds if isinstance(error, Transient) else None
            write = log.debug if circuit.open else log.warning
            write(logs.CALL_FAILED, call="finish", error_code=error.code, error=error.message)
            self._failures += 1
            pause = full_jitter_seconds(self._failures, first=RETRY_FIRST_SECONDS, cap=RETRY_CAP_SECONDS)
            if not circuit.open:
                await at_most(max(pause, wished or 0), self._key_changed)
        else:
            self._failures = 0
            if busy:
                await asyncio.sleep(BUSY_RETRY_SECONDS)

    async def _write_batch(self) -> bool:
        """Write a batch of pending outcomes; return True if a row was locked and must be retried."""
        # One per request: answers carry no fence, and an older claim's must not be taken for a newer one's.
        first_of_each: dict[UUID, tuple[Claim, Finish]] = {}
        for claim, (finish, _) in self._pending.items():
            first_of_each.setdefault(claim.id, (claim, finish))
        batch = list(first_of_each.values())[:BATCH]
        answers = await self._ask(batch) if batch else {}
        for claim, _ in batch:
            answer = answers.get(claim.id, BUSY)
            if answer.status != "busy" and claim in self._pending:
                future = self._pending.pop(claim)[1]
                if not future.done():
                    future.set_result(answer)
        if not self._pending:
            self._added.clear()
        return any(answer.status == "busy" for answer in answers.values())

    async def _ask(self, batch: Sequence[tuple[Claim, Finish]]) -> dict[UUID, Answer]:
        """Return the answers to a batch. If its data is refused, it is retried one by one, so that none blocks others.

        Any other refusal says nothing about an outcome, so it is raised, and the batch is asked about again.
        """
        try:
            return await self._queue.finish(batch)
        except Permanent as error:
            if error.code != "data_refused":
                raise
            log.error(logs.CALL_FAILED, call="finish", error_code=error.code, error=error.message, batch=len(batch))
            if len(batch) == 1:
                return {batch[0][0].id: Answer("invalid")}
        answers: dict[UUID, Answer] = {}
        for entry in batch:
            answers |= await self._ask([entry])
        return answers
