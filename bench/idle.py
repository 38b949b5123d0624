"""HTTP requests and log lines of an idle worker: `sentinel-worker run` with the demo detector and default settings.

    python -m bench.idle [--seconds 600]

A proxy between the worker and the gateway counts HTTP requests. Exits with 1 if there were 40 or more in ten minutes,
or if the log has a line above info.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from sentinel_local_supabase.stack import Stack
from sentinel_worker.commands.dev import WorkerProcess, worker_environment
from sentinel_worker.database import migrate
from sentinel_worker.detectors.registry import DEMO_DETECTOR
from tests.integration.daemon.proxy import FaultProxy

REQUESTS_IN_TEN_MINUTES = 40
SETTLE_SECONDS = 10
QUIET = ("debug", "info")


async def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="idle-") as name:
        log = Path(name) / "worker.log"
        async with (
            Stack(Path(name) / "supabase", port=0, migrations=migrate.apply) as stack,
            FaultProxy(stack.port).running() as proxy,
            WorkerProcess(
                worker_environment(stack, {"SUPABASE_URL": proxy.url, "SENTINEL_DETECTOR": DEMO_DETECTOR}), log=log
            ) as worker,
        ):
            await worker.ready()
            await asyncio.sleep(SETTLE_SECONDS)
            proxy.requests.clear()
            said = len(log.read_text().splitlines())
            await asyncio.sleep(seconds)
            requests, lines = list(proxy.requests), log.read_text().splitlines()[said:]
    loud = [line for line in lines if json.loads(line)["level"] not in QUIET]
    most = REQUESTS_IN_TEN_MINUTES * seconds / 600
    print(
        f"{seconds:g} s: {len(requests)} HTTP requests (below {most:g}), {len(lines)} log lines, {len(loud)} above info"
    )
    for request, count in Counter(request.split()[1].split("?")[0] for request in requests).most_common():
        print(f"  {count:3d} {request}")
    print("\n".join(loud))
    return 0 if len(requests) < most and not loud else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
