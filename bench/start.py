"""Start time of the local Supabase in a new folder (cold) and in one that was used before (warm).

    python -m bench.start [--runs 3]

Each run uses a new folder, starts cold once, and warm twice. `Stack` is timed from its construction to the end of its
`__aenter__`, in this process, with PostgreSQL safe against power loss (durable) and all migrations. The command is
`sentinel-worker dev --no-worker`, timed from the start of its process to the line that says it is running, which
includes Python's start and the imports. A first start, which reads the programs from disk, is not counted.
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
    """Return the seconds until everything answers."""
    began = time.perf_counter()
    async with Stack(folder, port=0, migrations=migrate.apply):
        return time.perf_counter() - began


def start_command(folder: Path) -> float:
    """Return the seconds until the command says that it is running; then stop it as Ctrl-C does."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "sentinel_worker", "dev", "--no-worker", "--port", "0", "--data", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while RUNNING not in (line := process.stdout.readline()):
            if not line:
                sys.exit(f"the command exited with code {process.wait()}")
        seconds = time.perf_counter() - began
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    return seconds


def report(what: str, runs: list[list[float]]) -> None:
    """Print every start, in seconds; the first of each run is the cold one."""
    print(what)
    for label, times in (
        ("cold", [run[0] for run in runs]),
        ("warm", [seconds for run in runs for seconds in run[1:]]),
    ):
        every = " ".join(f"{seconds:.2f}" for seconds in times)
        print(f"  {label}  median {statistics.median(times):.2f} s, max {max(times):.2f} s  ({every})")


if __name__ == "__main__":
    asyncio.run(main())
