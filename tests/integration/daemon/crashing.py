"""A worker that crashes in several ways: `python -m tests.integration.daemon.crashing run`.

Every request raises an error whose message and local variables contain the key. A thread and a task die of one, and
finally the process itself.
"""

import asyncio
import threading
from typing import NoReturn, cast

from sentinel_worker import cli
from sentinel_worker.concurrency.supervisor import Supervisor
from sentinel_worker.queue.lease import Lease
from sentinel_worker.queue.removals import Removals
from sentinel_worker.supabase_client.keys import KeyAuth, WorkerKeys
from sentinel_worker.worker.pipeline import Pipeline


def fail_with(keys: WorkerKeys) -> NoReturn:
    headers = keys.current.headers
    raise RuntimeError(f"a bug with {headers} and {keys.current.api_key}")


ENOUGH = asyncio.Event()


async def crash(self: Pipeline, lease: Lease) -> NoReturn:
    keys: WorkerKeys = cast(KeyAuth, self.derived._http.auth).keys
    threading.Thread(target=fail_with, args=(keys,)).start()
    asyncio.get_running_loop().call_soon(fail_with, keys)
    asyncio.get_running_loop().call_later(2, ENOUGH.set)
    fail_with(keys)


async def die(self: Removals, _supervisor: Supervisor) -> NoReturn:
    await ENOUGH.wait()
    fail_with(cast(KeyAuth, self._http.auth).keys)


if __name__ == "__main__":
    Pipeline.analyze = crash  # type: ignore[method-assign]
    Removals.run = die  # type: ignore[method-assign, assignment]
    cli.main()
