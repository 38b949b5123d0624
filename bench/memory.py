"""Peak memory of worker, zygote and children for a 5 MB and a 1 GB video, by process.

    python -m bench.memory [--large-megabytes 1024]

The large file loops the same footage at a high bitrate, so every byte of it belongs to a real frame.
Run it as root: the worker hides its memory from other processes of its user. The figure is the proportional set size
(PSS), sampled from the kernel while the request runs: pages that the zygote shares with its children are counted once,
and the page cache is not included.
"""

import argparse
import asyncio
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import httpx
from supabase import AsyncClient, acreate_client

from examples import samples
from sentinel_local_supabase.stack import Stack
from sentinel_worker.commands.dev import WorkerProcess, worker_environment
from sentinel_worker.database import migrate
from sentinel_worker.detectors.registry import DEMO_DETECTOR

LIMIT_SECONDS = 600
MEGABYTE = 1024**2
SAMPLE_SECONDS = 0.02
"""PSS has to be sampled, because the kernel has no event for a new peak."""


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--large-megabytes", type=int, default=1024)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        films = {"small": film(folder, 5), "large": film(folder, chosen.large_megabytes)}
        async with Stack(folder / "supabase", port=0, migrations=migrate.apply) as stack:
            peaks = {label: await measure(stack, folder, path) for label, path in films.items()}
        report(films, peaks)


def film(folder: Path, megabytes: int) -> Path:
    """Loop real footage at a bitrate at which 1 GB lasts about four minutes."""
    result = folder / f"{megabytes}.mp4"
    source = samples.film_path("bikes.mp4")
    looped = ["-stream_loop", "-1", "-i", str(source), "-an", "-vf", "scale=1280:720,fps=25"]
    encode = ["-c:v", "mpeg4", "-b:v", "32M", "-minrate", "32M", "-maxrate", "32M", "-bufsize", "8M", "-g", "60"]
    size = ["-fs", str(megabytes * MEGABYTE)]
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *looped, *encode, *size, str(result)], check=True)
    return result


async def measure(stack: Stack, folder: Path, path: Path) -> dict[str, int]:
    """Return the peak PSS in bytes by process while a new worker answers one request for `path`."""
    log = folder / f"worker-{path.stem}.log"
    async with WorkerProcess(worker_environment(stack, {"SENTINEL_DETECTOR": DEMO_DETECTOR}), log=log) as worker:
        client = await acreate_client(stack.url, stack.publishable_key)
        signed = await client.auth.sign_in_anonymously()
        assert signed.user is not None
        assert signed.session is not None
        await worker.ready()
        storage_path = f"{signed.user.id}/{uuid.uuid4()}.mp4"
        await upload(stack, signed.session.access_token, storage_path, path)
        peaks: dict[str, int] = {}
        sampling = asyncio.create_task(sample(worker.pid, peaks))
        row = await answered(client, storage_path)
        sampling.cancel()
        await client.auth.close()
    print(f"{path.stat().st_size / MEGABYTE:.0f} MB: {row['status']}, {row['verdict'] or row['error_message']}")
    return peaks


async def upload(stack: Stack, token: str, storage_path: str, path: Path) -> None:
    """Upload the file as a stream; supabase-py would read all of it into memory."""
    headers = {"apikey": stack.publishable_key, "Authorization": f"Bearer {token}", "Content-Type": "video/mp4"}
    async with httpx.AsyncClient(timeout=LIMIT_SECONDS) as http:
        answer = await http.post(
            f"{stack.url}/storage/v1/object/media/{storage_path}", headers=headers, content=chunks(path)
        )
        answer.raise_for_status()


async def chunks(path: Path) -> AsyncIterator[bytes]:
    """Yield the file in pieces of 1 MB."""
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, MEGABYTE):
            yield piece


async def answered(client: AsyncClient, storage_path: str) -> dict[str, Any]:
    """Insert a request and wait until it is final."""
    request_id = str(uuid.uuid4())
    await client.table("analysis_requests").insert({"id": request_id, "storage_path": storage_path}).execute()
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            answer = await client.table("analysis_requests").select("*").eq("id", request_id).single().execute()
            row = cast("dict[str, Any]", answer.data)
            if row["finished_at"]:
                return row
            await asyncio.sleep(0.2)


async def sample(worker: int, peaks: dict[str, int]) -> None:
    """Record the highest PSS of each kind of process, and of all together, until cancelled."""
    while True:
        now = dict.fromkeys(("worker", "zygote", "children"), 0)
        for kind, process in family(worker):
            now[kind] += pss_bytes(process)
        for kind, size in [*now.items(), ("together", sum(now.values()))]:
            peaks[kind] = max(peaks.get(kind, 0), size)
        await asyncio.sleep(SAMPLE_SECONDS)


def family(worker: int) -> Iterator[tuple[str, int]]:
    """Yield the worker, its zygote, and the zygote's children."""
    yield "worker", worker
    for zygote in children_of(worker):
        yield "zygote", zygote
        for child in children_of(zygote):
            yield "children", child


def children_of(process: int) -> list[int]:
    """Return the process ids of the direct children of all threads."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def pss_bytes(process: int) -> int:
    """Return the proportional set size; 0 if the process has just exited."""
    with suppress(FileNotFoundError, ProcessLookupError):  # the worker hides its memory: this needs root
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def report(films: dict[str, Path], peaks: dict[str, dict[str, int]]) -> None:
    """Print one line per process, in MB."""
    print(f"{'peak PSS, MB':>14}" + "".join(f"{path.stat().st_size / MEGABYTE:>9.0f} MB" for path in films.values()))
    for kind in peaks["small"]:
        print(f"{kind:>14}" + "".join(f"{peaks[label][kind] / MEGABYTE:>12.1f}" for label in films))
    more = (peaks["large"]["together"] - peaks["small"]["together"]) / MEGABYTE
    print(f"the large file costs {more:+.1f} MB at the peak of all processes together")


if __name__ == "__main__":
    asyncio.run(main())
