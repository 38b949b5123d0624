"""Standard error that never fails, never waits long, and counts what it drops."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from sentinel_worker.observe import log_stream
from sentinel_worker.observe.log_stream import LogStream


@dataclass
class Pipe:
    """A pipe with a stream at its writing end."""

    reading: int
    writing: int
    stream: LogStream

    def fill(self) -> int:
        """Leave no room; returns how many bytes that took."""
        os.set_blocking(self.writing, False)
        written = 0
        with suppress(BlockingIOError):
            while True:
                written += os.write(self.writing, b"-" * 4096)
        os.set_blocking(self.writing, True)
        return written

    def read(self, size: int = 1 << 20) -> bytes:
        return os.read(self.reading, size)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reading, writing = os.pipe()
    stream = LogStream(writing)
    stream.notice = lambda lines: f"lost {lines}\n"
    yield Pipe(reading, writing, stream)
    for descriptor in (reading, writing):
        with suppress(OSError):
            os.close(descriptor)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_stream, "PATIENCE_SECONDS", 0.01)


def test_what_can_be_written_is_written(pipe: Pipe) -> None:
    assert pipe.stream.write(b"one\n") == 4
    pipe.stream.write(b"two\nthree\n")
    assert pipe.read() == b"one\ntwo\nthree\n"


def test_a_dead_reader_raises_nothing(pipe: Pipe) -> None:
    os.close(pipe.reading)
    assert pipe.stream.write(b"one\n") == 4


def test_a_closed_descriptor_raises_nothing(pipe: Pipe) -> None:
    os.close(pipe.writing)
    assert pipe.stream.write(b"one\n") == 4


def test_lines_that_a_reader_left_no_room_for_are_counted(pipe: Pipe) -> None:
    pipe.fill()
    pipe.stream.write(b"lost\nlost\n")
    pipe.stream.write(b"lost without an end")
    pipe.read()
    pipe.stream.write(b"one\n")
    pipe.stream.write(b"two\n")
    assert pipe.read() == b"lost 3\none\ntwo\n"


def test_a_full_disk_loses_lines_until_it_has_space_again(pipe: Pipe) -> None:
    kept = os.dup(pipe.writing)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, pipe.writing)
    pipe.stream.write(b"lost\n")
    pipe.stream.write(b"lost\n")
    os.dup2(kept, pipe.writing)
    for descriptor in (kept, full):
        os.close(descriptor)
    pipe.stream.write(b"one\n")
    assert pipe.read() == b"lost 2\none\n"


def test_a_line_that_was_cut_is_ended_before_the_next(pipe: Pipe) -> None:
    size = pipe.fill()
    pipe.read(size - 4096)
    pipe.read(4096)
    pipe.fill()
    pipe.read(4096)
    pipe.stream.write(b"x" * 6000 + b"\n")
    read = b""
    while len(read) < size:
        read += pipe.read()
    assert read.lstrip(b"-") == b"x" * 4096
    pipe.stream.write(b"one\n")
    assert pipe.read() == b"\nlost 1\none\n"


def test_only_the_first_line_waits_for_a_reader(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe.fill()
    waits: list[float] = []

    class Poll:
        def poll(self, milliseconds: float) -> list[object]:
            waits.append(milliseconds)
            return []

    monkeypatch.setattr(pipe.stream, "_room", Poll())
    for _ in range(3):
        pipe.stream.write(b"lost\n")
    assert waits[0] > 0
    assert waits[1:] == [0.0, 0.0]
