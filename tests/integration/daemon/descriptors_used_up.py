"""A worker that may open too few files: `python -m tests.integration.daemon.descriptors_used_up run`."""

import resource
from pathlib import Path

from sentinel_worker import cli, daemon
from sentinel_worker.config.settings import Settings
from sentinel_worker.detectors.registry import DetectorSpec

serve = daemon.serve


async def serve_with_few(settings: Settings, specs: list[DetectorSpec]) -> None:
    """Leave no descriptor beyond those that are open."""
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, highest + 1))
    await serve(settings, specs)


if __name__ == "__main__":
    vars(daemon)["serve"] = serve_with_few
    cli.main()
