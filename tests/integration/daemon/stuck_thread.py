"""A worker that a thread keeps from ending: `python -m tests.integration.daemon.stuck_thread run`."""

import asyncio
import threading

from sentinel_worker import cli, daemon
from sentinel_worker.config.settings import Settings
from sentinel_worker.detectors.registry import DetectorSpec

serve = daemon.serve


async def serve_and_leave_a_thread(settings: Settings, specs: list[DetectorSpec]) -> None:
    """Serve, then leave a thread for which the loop waits."""
    try:
        await serve(settings, specs)
    finally:
        asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)


if __name__ == "__main__":
    vars(daemon)["serve"] = serve_and_leave_a_thread
    cli.main()
