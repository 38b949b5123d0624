"""Requests that a worker is running: each is a task that answers its claim, and its failure does not affect others."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from uuid import UUID

import structlog

from sentinel_worker.concurrency.supervisor import MOST_IN_A_ROW
from sentinel_worker.domain.errors import Cancelled, Fatal, LeaseLost, Released
from sentinel_worker.domain.request import Claim, Finish
from sentinel_worker.observe import logs
from sentinel_worker.queue.client import Answer
from sentinel_worker.queue.lease import Lease, Leases
from sentinel_worker.queue.outcomes import Outcomes
from sentinel_worker.queue.progress import Progress
from sentinel_worker.worker.error_outcomes import finish_for
from sentinel_worker.worker.machine import Machine
from sentinel_worker.worker.pipeline import Pipeline

RELEASE_SECONDS = 10.0
"""Time limit of the drain for handing back released requests."""
HANDED_ON: Final = frozenset({"snoozed", "released"})
"""Outcomes that say nothing about this worker: it has not answered the request."""
RESULT_REFUSED = Finish(
    "failed",
    stage="finishing",
    error_code="result_refused",
    error_message="The analysis finished, but the database refused its result.",
)

log = structlog.get_logger()


class RunningRequests:
    """Starts, answers and ends requests.

    Callbacks: `freed` after a request has ended, `due_in` with the seconds until an answered request is due again,
    `broken` with an error that concerns the whole worker.
    """

    def __init__(
        self,
        *,
        leases: Leases,
        outcomes: Outcomes,
        progress: Progress,
        pipeline: Pipeline,
        machine: Machine,
        freed: Callable[[], None],
        due_in: Callable[[float], None],
        broken: Callable[[Fatal], None],
    ) -> None:
        self._leases = leases
        self._outcomes = outcomes
        self._progress = progress
        self._pipeline = pipeline
        self._machine = machine
        self._freed = freed
        self._due_in = due_in
        self._broken = broken
        self._unexpected: set[UUID] = set()
        self._tasks: dict[asyncio.Task[None], Lease] = {}

    def __len__(self) -> int:
        """Return the number of running requests."""
        return len(self._tasks)

    @property
    def by_user(self) -> Counter[UUID]:
        """Number of running requests of each user."""
        return Counter(lease.claim.user_id for lease in self._tasks.values())

    def start(self, group: asyncio.TaskGroup, claim: Claim, called_at: float) -> None:
        """Work on `claim`, whose call began at `called_at` (see `lease.boottime`)."""
        lease = self._leases.add(claim, called_at)
        task = group.create_task(self._work(lease), name=f"request-{claim.id}")
        self._tasks[task] = lease
        task.add_done_callback(self._ended)

    async def drain(self, limit_seconds: float, hurry: asyncio.Event) -> None:
        """Wait for the requests to end until the limit or until `hurry` is set, then release the rest."""
        hurried = asyncio.ensure_future(hurry.wait())
        try:
            async with asyncio.timeout(limit_seconds):
                while self._tasks and not hurried.done():
                    await asyncio.wait([hurried, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            log.warning(logs.DRAIN_EXPIRED, running=len(self._tasks))
        finally:
            hurried.cancel()
        self.hand_back()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=RELEASE_SECONDS)
        for task in self._tasks:
            task.cancel()

    def hand_back(self) -> None:
        """End all requests now and release them; their attempts are refunded."""
        for lease in self._tasks.values():
            lease.end(Released())

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._freed()

    async def _work(self, lease: Lease) -> None:
        claim = lease.claim
        with structlog.contextvars.bound_contextvars(request_id=str(claim.id), attempt=claim.attempt):
            log.info(logs.CLAIMED, media_kind=claim.media_kind, detector=claim.detector, reoffered=claim.reoffered)
            try:
                try:
                    with lease.guard():
                        if claim.cancel_requested:
                            raise Cancelled
                        finish = await self._pipeline.analyze(lease)
                except Exception as met:  # noqa: BLE001 - `finish_for` decides what each one means
                    error = await self._machine.explained(met)
                    if isinstance(error, Fatal):
                        self._broken(error)
                    finish = finish_for(error, claim, lease.stage)
                finish = replace(finish, compute=lease.compute.as_json())
                self._count(claim, finish)
                await self._report(claim, finish)
            except LeaseLost:
                log.warning(logs.LEASE_LOST, stage=lease.stage)
            except Exception:
                # The claim is not answered, so it is offered again; the other requests continue.
                log.exception(logs.CRASHED, stage=lease.stage)
            finally:
                self._progress.forget(claim)
                self._leases.remove(lease)

    def _count(self, claim: Claim, finish: Finish) -> None:
        """Take note of an answer. Unexpected errors of many requests in a row are the worker's, not the files'."""
        if finish.outcome == "succeeded":
            self._machine.answered()
        if finish.error_code == "internal_error":
            self._unexpected.add(claim.id)
            if len(self._unexpected) == MOST_IN_A_ROW:
                sentence = f"{MOST_IN_A_ROW} requests in a row ended with unexpected errors."
                self._broken(Fatal("internal_error", sentence))
        elif finish.outcome not in HANDED_ON:
            self._unexpected.clear()

    async def _report(self, claim: Claim, finish: Finish) -> None:
        answer = await self._outcomes.write(claim, finish)
        if answer.status == "invalid" and finish.outcome == "succeeded":
            finish = replace(RESULT_REFUSED, compute=finish.compute)
            answer = await self._outcomes.write(claim, finish)
        _log_answer(finish, answer)
        if answer.due_in_seconds is not None:
            self._due_in(answer.due_in_seconds)


def _log_answer(finish: Finish, answer: Answer) -> None:
    log.info(
        logs.OUTCOMES.get(answer.status, logs.LEASE_LOST),
        outcome=finish.outcome,
        status=answer.status,
        error_code=finish.error_code,
        error=finish.error_detail.get("remedy", finish.error_message),
        verdict=(finish.result or {}).get("verdict"),
    )
