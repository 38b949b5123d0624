"""Admins and workers on the same rows at the same time."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from tests.integration.database.queue_client import Queue, Row

FINISHES = 1_000
ONE_ENDED = "id = (select id from public.analysis_requests where finished_at is not null order by random() limit 1)"
OUTCOMES = ("succeeded", "failed", "retry", "released")


def test_requeues_against_finishes_neither_deadlock_nor_lose_a_request(queue: Queue) -> None:
    """Two workers claim, heartbeat and finish while two admins requeue; then everything is finished once more.

    One admin requeues all rows in one statement, the other row by row: two statements over many rows in
    different orders would deadlock in any database.
    """
    requests = set(queue.insert(count=24))
    answers: Counter[str] = Counter()
    over = Event()
    workers = [queue.another_worker(), queue.another_worker()]
    everything, ended = queue.another_worker(), queue.another_worker()

    def until_over(step: Callable[[], None]) -> None:
        try:
            while not over.is_set():
                step()
        finally:
            over.set()

    def work(worker: Queue) -> None:
        if answers.total() >= FINISHES:
            over.set()
        work_once(worker, answers)

    with ThreadPoolExecutor(4) as threads:
        runs = [
            threads.submit(until_over, lambda: work(workers[0])),
            threads.submit(until_over, lambda: work(workers[1])),
            threads.submit(until_over, lambda: requeue(everything, "status <> 'queued'")),
            threads.submit(until_over, lambda: requeue(ended, ONE_ENDED)),
        ]
    for run in runs:
        run.result()
    assert answers["succeeded"] > 0
    assert answers["lost"] > 0, "the admins never met a running request"

    requeue(queue, "status <> 'queued'")
    done = set()
    while claims := queue.claim(limit=24):
        done |= {claim["id"] for claim in claims if queue.succeed(claim)["answer"] == "succeeded"}
    assert done == requests
    assert queue.sql("select 1 from sentinel.leases") == []
    current = queue.sql("select count(*) as n from public.analysis_results where is_current")
    assert current[0]["n"] == len(requests)
    deadlocks = queue.sql("select deadlocks from pg_stat_database where datname = current_database()")
    assert deadlocks[0]["deadlocks"] == 0


def work_once(worker: Queue, answers: Counter[str]) -> None:
    """One cycle of a worker: claim, heartbeat, progress, finish, sweep."""
    claims = worker.claim(limit=8)
    if claims:
        worker.heartbeat(*claims)
        worker.progress(claims[0], "analyzing", 50)
    for number, claim in enumerate(claims):
        answers[finish(worker, claim, OUTCOMES[number % len(OUTCOMES)])] += 1
    worker.maintain()


def finish(worker: Queue, claim: Row, outcome: str) -> str:
    """Finish as the worker does: retry while the answer is busy."""
    while True:
        row = worker.succeed(claim) if outcome == "succeeded" else worker.finish(claim, outcome, error_code="x")
        answer: str = row["answer"]
        if answer != "busy":
            return answer


def requeue(admin: Queue, where: str) -> None:
    admin.sql(f"update public.analysis_requests set status = 'queued' where {where}")  # noqa: S608
