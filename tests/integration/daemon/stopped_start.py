"""A worker that stops (SIGSTOP) at its start: `python -m tests.integration.daemon.stopped_start run`."""

import signal

from sentinel_worker import cli, daemon
from sentinel_worker.config.settings import Settings
from sentinel_worker.detectors.registry import DetectorSpec

serve = daemon.serve


async def serve_later(settings: Settings, specs: list[DetectorSpec]) -> None:
    """Stop until SIGCONT."""
    signal.raise_signal(signal.SIGSTOP)
    await serve(settings, specs)


if __name__ == "__main__":
    vars(daemon)["serve"] = serve_later
    cli.main()
