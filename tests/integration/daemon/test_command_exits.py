"""How the commands end: with the exit code that docs/operations.md names, and never with a traceback."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.waits import catches, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

WORKER: Final = (sys.executable, "-m", "sentinel_worker")
SETTINGS: Final = {"SUPABASE_URL": "http://127.0.0.1:1", "SUPABASE_SECRET_KEY": "sb_secret_0123456789"}
FULL: Final = "error The machine's disk is full: it has no space or no inodes left.\n"
INHERITED: Final = {
    name: value for name, value in os.environ.items() if not name.startswith(("SENTINEL_", "SUPABASE_"))
}


async def ended(
    *words: str | Path, stdout: int = subprocess.PIPE, settings: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a command to its end; return its exit code and standard error."""
    process = await asyncio.create_subprocess_exec(
        *WORKER,
        *map(str, words),
        env={**INHERITED, "COLUMNS": "200", **(settings or {})},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode is not None
    text = said.decode()
    assert "Traceback" not in text
    assert "Exception ignored" not in text
    return process.returncode, text


@contextmanager
def opened(device: str, flags: int) -> Iterator[int]:
    """A descriptor of the device."""
    descriptor = os.open(device, flags)
    yield descriptor
    os.close(descriptor)


async def test_output_on_a_full_disk_exits_75() -> None:
    with opened("/dev/full", os.O_WRONLY) as full:
        assert await ended("models", "list", "--json", stdout=full) == (75, FULL)
        assert await ended("--version", stdout=full) == (75, FULL)


async def test_output_that_may_not_be_written_exits_2() -> None:
    with opened(os.devnull, os.O_RDONLY) as unwritable:
        assert await ended("--version", stdout=unwritable) == (
            2,
            "error The output cannot be written: Bad file descriptor\n",
        )


async def test_output_whose_reader_has_ended_exits_1_without_a_word() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    assert await ended("models", "list", stdout=writing) == (1, "")
    assert await ended("models", "list", "--json", stdout=writing) == (1, "")
    os.close(writing)


async def test_check_exits_75_without_supabase_and_2_for_a_mistake() -> None:
    code, said = await ended("check", settings=SETTINGS)
    assert (code, said) == (75, "error Supabase could not be reached (ConnectError).\n")
    code, said = await ended("check", settings={**SETTINGS, "SUPABASE_URL": "https://"})
    assert (code, said.startswith("error SUPABASE_URL: must name a host")) == (2, True)


@pytest.mark.parametrize("address", ["http://[::1", "http://hub:99999", "hub.example"])
async def test_an_impossible_address_of_the_hub_exits_2(address: str) -> None:
    code, said = await ended("models", "list", settings={"HF_ENDPOINT": address})
    assert (code, said) == (2, "error HF_ENDPOINT: must be the hub's address, such as https://huggingface.co\n")


@pytest.mark.parametrize(
    ("stage", "number", "code"),
    [
        ("imports", signal.SIGINT, 130),
        ("connected", signal.SIGINT, 130),
        ("imports", signal.SIGTERM, 143),
        ("connected", signal.SIGTERM, -signal.SIGTERM),  # a shell adds 128 to the signal's number
    ],
)
async def test_a_signal_ends_a_command_without_a_word(stage: str, number: signal.Signals, code: int) -> None:
    """The command waits for a server that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        process = await asyncio.create_subprocess_exec(
            *(*WORKER, "migrate"),
            env=INHERITED | {"SENTINEL_DB_URL": f"postgresql://nobody@127.0.0.1:{server.getsockname()[1]}/none"},
            stderr=subprocess.PIPE,
        )
        if stage == "imports":  # during which it catches SIGTERM, too
            await until(lambda: catches(process.pid, signal.SIGTERM))
        connection, _ = await asyncio.get_running_loop().sock_accept(server) if stage == "connected" else (None, None)
        process.send_signal(number)
        _, said = await process.communicate()
        if connection is not None:
            connection.close()
    assert (process.returncode, said) == (code, b"")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--data", "file"), "/file: Not a directory"),
        (("--data", "/proc/nothing"), "/proc/nothing: No such file or directory"),
        (("--data", "damaged"), "keys.json does not contain the keys of a local Supabase"),
        (("--port", "65536"), "Invalid value for '--port'"),
        (("--misbehave", "rest:nonsense"), "unknown key 'nonsense'"),
    ],
)
async def test_a_local_supabase_that_cannot_be_started_exits_2(
    tmp_path: Path, words: tuple[str, str], sentence: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "keys.json").write_text("{")
    option, value = words
    given = (option, tmp_path / value) if option == "--data" else words
    code, said = await ended("dev", "--no-worker", "--port", "0", "--data", tmp_path / "data", *given)
    assert (code, sentence in said) == (2, True), said
