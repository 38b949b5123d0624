"""What reaches the log, and what must not."""

import json
from typing import Literal

import pytest
import structlog

from sentinel_worker import logs


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
