"""Fields that reach the log, and secrets that must not."""

import json
import subprocess
import sys
from typing import Literal

import pytest
import structlog

from sentinel_worker.observe import logs, masking


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_local_variables(
    capsys: pytest.CaptureFixture[str], log_format: Literal["json", "console"]
) -> None:
    def call(apikey: str) -> None:
        raise RuntimeError("the call failed with a key of " + str(len(apikey)))

    key = "_".join(("sb", "secret", "TOP" + "SECRET"))  # tracebacks quote the source
    structlog.reset_defaults()
    try:
        logs.configure("info", log_format)
        try:
            call(key)
        except RuntimeError:
            structlog.get_logger().exception(logs.CRASHED, stage="probing")
    finally:
        structlog.reset_defaults()
    written = capsys.readouterr().err
    assert "the call failed" in written
    assert "TOPSECRET" not in written
    if log_format == "json":
        assert json.loads(written.splitlines()[0])["event"] == logs.CRASHED


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_what_a_stranger_sent_makes_no_endless_line(
    capsys: pytest.CaptureFixture[str], log_format: Literal["json", "console"]
) -> None:
    structlog.reset_defaults()
    try:
        logs.configure("info", log_format)
        log = structlog.get_logger()
        try:
            raise ValueError("a." * 100_000)
        except ValueError:
            log.exception(logs.CRASHED, stage="probing", said={"it": ["b." * 100_000]})
    finally:
        structlog.reset_defaults()
    written = capsys.readouterr().err
    assert len(written) < masking.LONGEST + 100
    if log_format == "json":
        line = json.loads(written)
        assert line["exception"][0]["exc_value"].endswith("… (of 200000 characters)")
        assert line["said"]["it"][0].endswith("… (of 200000 characters)")


CANARY = "CANARYcanary0123456789"
UNCAUGHT = """
import asyncio, gc, logging, sys, threading, warnings
from sentinel_worker.observe import logs, masking

key = sys.stdin.read()
masking.register(key)
logs.leave_no_secrets()
if sys.argv[1] != "unconfigured":
    logs.configure("debug", "json" if sys.argv[1] != "console" else "console")

class Last:
    def __del__(self):
        raise RuntimeError("collected " + key)

async def forgotten():
    async def fails():
        raise RuntimeError("forgotten " + key)
    task = asyncio.ensure_future(fails())
    await asyncio.wait([task])
    del task
    gc.collect()

def fails():
    raise RuntimeError("thread " + key)

for name in ("httpx", "realtime", "websockets", "transformers", "supabase", "asyncio"):
    logging.getLogger(name).warning("a line of %s with %s", name, key)
logging.getLogger("httpx").warning("wrong arguments %d", key)
logging.getLogger("httpx").error({"headers": {"apikey": key}})
warnings.warn("warned of " + key)
thread = threading.Thread(target=fails)
thread.start()
thread.join()
asyncio.run(forgotten())
Last()
gc.collect()
try:
    raise OSError("caused by " + key)
except OSError as error:
    own = logging.getLogger("own")
    own.addHandler(logging.StreamHandler())
    own.propagate = False
    own.exception("by its own handler %s", key)
    raise RuntimeError("uncaught " + key) from error
"""


@pytest.mark.parametrize("log_format", ["json", "console", "unconfigured"])
def test_what_nobody_caught_and_what_libraries_say_holds_no_secret(log_format: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", UNCAUGHT, log_format], input=CANARY, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert CANARY not in ran.stdout + ran.stderr
    said = ["thread ***", "collected ***", "uncaught ***", "caused by ***", "by its own handler ***", "forgotten ***"]
    said += ["warned of ***", "wrong arguments %d ('***',)"]
    said += [f"a line of {name} with ***" for name in ("httpx", "websockets", "transformers", "supabase")]
    assert not [words for words in said if words not in ran.stderr], ran.stderr
    if log_format == "json":
        ours = [line for line in ran.stderr.splitlines() if line.startswith("{")]
        assert all(json.loads(line) for line in ours)
