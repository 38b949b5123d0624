"""The worker of procrastinate or pgqueuer with a task that does nothing, for `bench.workers`.

    python peer_worker.py procrastinate|pgqueuer DSN SLOTS

runs in a virtual environment that has them, until SIGTERM.
"""

import asyncio
import sys


async def procrastinate(dsn: str, slots: int) -> None:
    """Run the equivalent of `procrastinate worker --concurrency SLOTS`."""
    from procrastinate import App, PsycopgConnector  # type: ignore[import-not-found]

    app = App(connector=PsycopgConnector(conninfo=dsn))

    @app.task(name="bench", queue="bench")  # type: ignore[untyped-decorator]
    async def bench() -> None:
        pass

    async with app.open_async():
        await app.run_worker_async(queues=["bench"], concurrency=slots)


async def pgqueuer(dsn: str, slots: int) -> None:
    """Run the equivalent of `pgq run --batch-size SLOTS`."""
    import psycopg
    from pgqueuer import PgQueuer  # type: ignore[import-not-found]
    from pgqueuer.db import PsycopgDriver  # type: ignore[import-not-found]

    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        queue = PgQueuer(PsycopgDriver(connection))

        @queue.entrypoint("bench")  # type: ignore[untyped-decorator]
        async def bench(job: object) -> None:
            pass

        await queue.run(batch_size=slots)


if __name__ == "__main__":
    system, dsn, slots = sys.argv[1:]
    asyncio.run({"procrastinate": procrastinate, "pgqueuer": pgqueuer}[system](dsn, int(slots)))
