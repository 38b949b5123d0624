"""A log that cannot be written: its disk is full, its reader has died, or its reader no longer reads."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.daemon.queries import history

pytestmark = pytest.mark.asyncio(loop_scope="session")

FULL = Path("/dev/full")


class Reader:
    """The reading end of a worker's standard error, which the test reads only when it wants to."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def fill(self) -> None:
        """Leave no room in the pipe."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        with suppress(BlockingIOError):
            while True:
                os.write(descriptor, b"-" * 4095 + b"\n")
        os.close(descriptor)

    def read(self) -> str:
        """Read everything that is in the pipe."""
        pieces = []
        with suppress(BlockingIOError):
            while piece := os.read(self._descriptor, 1 << 20):
                pieces.append(piece)
        return b"".join(pieces).decode()

    def close(self) -> None:
        """Die, as far as the worker can tell."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path / "log")
    yield made
    made.close()


async def answered(stack: Stack, user: User, clips: dict[str, Path]) -> None:
    """Ask for one film, and check that one attempt answered it."""
    request_id = await user.ask(clips["carphone_pristine.mp4"])
    assert (await user.answer(request_id))["status"] == "succeeded"
    assert history(stack, request_id) == [(1, "succeeded", "succeeded")]


async def test_a_full_disk_under_the_log_costs_no_request(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path]
) -> None:
    worker = await start_worker(log=FULL)
    await answered(stack, user, clips)
    assert await worker.process.stop() == 0


async def test_a_reader_that_dies_costs_no_request(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], reader: Reader
) -> None:
    worker = await start_worker(log=reader.path)
    assert '"worker.starting"' in reader.read()
    reader.close()
    await answered(stack, user, clips)
    assert await worker.process.stop() == 0


async def test_a_reader_that_stops_reading_stalls_nothing_and_learns_how_many_lines_it_missed(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], reader: Reader
) -> None:
    worker = await start_worker(log=reader.path)
    written = reader.read()
    reader.fill()
    await answered(stack, user, clips)
    reader.read()
    await answered(stack, user, clips)
    assert await worker.process.stop() == 0
    written += reader.read()
    lines = [json.loads(line) for line in written.splitlines()]
    (lost,) = [line for line in lines if line["event"] == "log.lines_lost"]
    assert lost["lines"] >= 2  # one about the claim, one about the answer
    assert [line["event"] for line in lines].count("request.claimed") == 1


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB, for the log only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no disk of its own can be mounted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_log_on_a_full_disk_says_what_it_lost_when_there_is_space_again(
    stack: Stack, start_worker: StartWorker, user: User, disk: Path
) -> None:
    worker = await start_worker(log=disk / "log")
    ballast = os.open(disk / "ballast", os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while True:
            os.write(ballast, b"-" * 4096)
    asked = [await user.ask(b"no media") for _ in range(12)]  # more lines than the log's last page has room for
    rows = [await user.answer(request_id) for request_id in asked]
    os.close(ballast)
    (disk / "ballast").unlink()
    rows.append(await user.answer(await user.ask(b"no media")))
    assert await worker.process.stop() == 0
    assert [(row["error_code"], row["attempt"]) for row in rows] == [("media_not_supported", 1)] * 13
    lines = worker.log.read_text().splitlines()
    (lost,) = [json.loads(line) for line in lines if '"log.lines_lost"' in line]
    claims = sum('"request.claimed"' in line for line in lines)
    torn = sum(not line.endswith("}") for line in lines)
    assert lost["lines"] > 0
    assert claims < 13
    assert torn <= 1
