"""Admins and workers on the same rows at the same time."""

from collections import Counter
from threading import Event, Thread

from tests.integration.database.queue_client import Queue

FINISHES = 1_000


def test_requeues_against_finishes_neither_deadlock_nor_lose_a_request(queue: Queue) -> None:
    """Two workers claim, beat and finish while two admins requeue everything; then all of it is finished once more."""
    requests = set(queue.insert(count=24))
    answers: Counter[str] = Counter()
    errors: list[BaseException] = []
    enough = Event()

    def work(worker: Queue) -> None:
        while answers.total() < FINISHES:
            claims = worker.claim(limit=8)
            if claims:
                worker.heartbeat(*claims)
                worker.progress(claims[0], "analyzing", 50)
            outcomes = ["succeeded", "failed", "retry", "released"]
            for number, claim in enumerate(claims):
                answers[finished(worker, claim, outcomes[number % 4])] += 1
            worker.maintain()

    def requeue(admin: Queue, where: str) -> None:
        while not enough.is_set():
            admin.sql(f"update public.analysis_requests set status = 'queued' where {where}")  # noqa: S608

    def guarded(target: object, *args: object) -> Thread:
        def run() -> None:
            try:
                target(*args)  # type: ignore[operator]
            except BaseException as error:  # noqa: BLE001 - reported by the test's own thread
                errors.append(error)
                enough.set()
                answers["error"] += FINISHES

        return Thread(target=run)

    others = [queue.another_worker() for _ in range(4)]
    workers = [guarded(work, other) for other in others[:2]]
    admins = [
        guarded(requeue, others[2], "status <> 'queued'"),
        guarded(requeue, others[3], "status in ('failed', 'succeeded', 'scheduled')"),
    ]
    for thread in (*workers, *admins):
        thread.start()
    for thread in workers:
        thread.join()
    enough.set()
    for thread in admins:
        thread.join()
    assert errors == []
    assert answers["succeeded"] > 0
    assert answers["lost"] > 0, "the admins never met a running request"

    queue.sql("update public.analysis_requests set status = 'queued' where status <> 'queued'")
    done = set()
    while claims := queue.claim(limit=24):
        done |= {claim["id"] for claim in claims if queue.succeed(claim)["answer"] == "succeeded"}
    assert done == requests
    assert queue.sql("select 1 from sentinel.leases") == []
    current = queue.sql("select count(*) as n from public.analysis_results where is_current")
    assert current[0]["n"] == len(requests)
    deadlocks = queue.sql("select deadlocks from pg_stat_database where datname = current_database()")
    assert deadlocks[0]["deadlocks"] == 0


def finished(worker: Queue, claim: dict[str, object], outcome: str) -> str:
    """Finish as the worker does: busy means ask again."""
    while True:
        row = worker.succeed(claim) if outcome == "succeeded" else worker.finish(claim, outcome, error_code="x")
        answer: str = row["answer"]
        if answer != "busy":
            return answer
