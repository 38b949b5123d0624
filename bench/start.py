"""How long the local Supabase takes to start: on a new folder (cold), and on one that was used before (warm).

    python -m bench.start [--runs 3]

Each run takes a folder of its own, starts cold, and starts warm twice. `Stack` is timed from its construction to the
end of its `__aenter__`, in this process, with PostgreSQL safe against a power cut (durable) and all migrations. The
command is `sentinel-worker dev --no-worker`, timed from the start of its process to the line that says it is running:
that adds Python itself and the imports. One start before all runs is not counted: it reads the programs from the disk.
"""

import argparse
import asyncio
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sentinel_local_supabase.stack import Stack
from sentinel_worker.database import migrate

RUNNING = b"is running"


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--runs", type=int, default=3)
    runs: int = arguments.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        await start_stack(folder / "uncounted")
        stack = [[await start_stack(folder / f"stack-{run}") for _ in range(3)] for run in range(runs)]
        command = [[start_command(folder / f"command-{run}") for _ in range(3)] for run in range(runs)]
    report("Stack", stack)
    report("sentinel-worker dev --no-worker", command)


async def start_stack(folder: Path) -> float:
    """Seconds until everything answers."""
    began = time.perf_counter()
    async with Stack(folder, port=0, migrations=migrate.apply):
        return time.perf_counter() - began


def start_command(folder: Path) -> float:
    """Seconds until the command says that it is running; it is stopped as by Ctrl-C."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "sentinel_worker", "dev", "--no-worker", "--port", "0", "--data", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while RUNNING not in (line := process.stdout.readline()):
            if not line:
                sys.exit(f"the command ended with exit code {process.wait()}")
        seconds = time.perf_counter() - began
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    return seconds


def report(what: str, runs: list[list[float]]) -> None:
    """Every start, in seconds: the first of each run is the cold one."""
    print(what)
    for label, times in (
        ("cold", [run[0] for run in runs]),
        ("warm", [seconds for run in runs for seconds in run[1:]]),
    ):
        every = " ".join(f"{seconds:.2f}" for seconds in times)
        print(f"  {label}  median {statistics.median(times):.2f} s, max {max(times):.2f} s  ({every})")


if __name__ == "__main__":
    asyncio.run(main())
