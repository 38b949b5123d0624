"""A log that cannot be written: its disk is full, its reader has died, or its reader no longer reads."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sentinel_local_supabase.stack import Stack
from sentinel_worker.detectors.registry import DEMO_IMAGE
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.daemon.costs import Costs, printed_costs
from tests.integration.daemon.queries import history
from tests.machines import filled, small_disk

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


async def answered(stack: Stack, user: User, clips: dict[str, Path]) -> dict[str, Any]:
    """Ask for one film, and check that one attempt answered it; return its row."""
    request_id = await user.ask(clips["carphone_pristine.mp4"])
    row = await user.answer(request_id)
    assert history(stack, request_id) == [(1, "succeeded", "succeeded")]
    return row


async def test_a_full_disk_under_the_log_costs_no_request(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path]
) -> None:
    worker = await start_worker(log=FULL)
    assert printed_costs("log: a full disk", [await answered(stack, user, clips)]) == Costs(1, 1, 0, 0)
    assert await worker.process.stop() == 0


async def test_a_reader_that_dies_costs_no_request(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], reader: Reader
) -> None:
    worker = await start_worker(log=reader.path)
    assert '"worker.starting"' in reader.read()
    reader.close()
    assert printed_costs("log: its reader dies", [await answered(stack, user, clips)]) == Costs(1, 1, 0, 0)
    assert await worker.process.stop() == 0


async def test_a_reader_that_stops_reading_stalls_nothing_and_learns_how_many_lines_it_missed(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], reader: Reader
) -> None:
    worker = await start_worker(log=reader.path)
    written = reader.read()
    reader.fill()
    rows = [await answered(stack, user, clips)]
    reader.read()
    rows.append(await answered(stack, user, clips))
    assert printed_costs("log: its reader stops reading", rows) == Costs(2, 2, 0, 0)
    assert await worker.process.stop() == 0
    written += reader.read()
    lines = [json.loads(line) for line in written.splitlines()]
    (lost,) = [line for line in lines if line["event"] == "log.lines_lost"]
    assert lost["lines"] >= 2  # one about the claim, one about the answer
    assert [line["event"] for line in lines].count("request.claimed") == 1


async def test_a_log_on_a_full_disk_says_what_it_lost_when_there_is_space_again(
    stack: Stack, start_worker: StartWorker, user: User, tmp_path: Path
) -> None:
    portrait = tmp_path / "portrait.jpg"
    Image.new("RGB", (120, 80), "navy").save(portrait)
    with small_disk(tmp_path / "disk", kibibytes=64) as disk:
        worker = await start_worker(log=disk / "log", SENTINEL_DETECTOR=DEMO_IMAGE)
        with filled(disk):  # more lines than the log's last page has room for
            asked = [await user.ask(portrait, media_kind="image") for _ in range(12)]
            rows = [await user.answer(request_id) for request_id in asked]
        rows.append(await user.answer(await user.ask(portrait, media_kind="image")))
        assert await worker.process.stop() == 0
        lines = worker.log.read_text().splitlines()
    assert printed_costs("log: a full disk, then space again", rows) == Costs(13, 13, 0, 0)
    (lost,) = [json.loads(line) for line in lines if '"log.lines_lost"' in line]
    claims = sum('"request.claimed"' in line for line in lines)
    torn = sum(not line.endswith("}") for line in lines)
    assert lost["lines"] > 0
    assert claims < 13
    assert torn <= 1
