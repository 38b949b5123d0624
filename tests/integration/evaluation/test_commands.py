"""`analyze` and `evaluate` as their users run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sentinel_worker", *map(str, arguments)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SENTINEL_")}
    env = inherited | {"COLUMNS": "200"} | environment
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=ROOT)


@pytest.fixture
def web(clips: dict[str, Path]) -> Iterator[str]:
    """The sample clips behind http."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(clips["bikes.mp4"].parent))

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_files_and_addresses_as_json_and_as_a_report(clips: dict[str, Path], web: str, tmp_path: Path) -> None:
    real, fake = clips["carphone_pristine.mp4"], f"{web}/carphone_pristine-tampered.mp4?token=secret"
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    sources: list[str | Path] = [real, fake, text, pipe, tmp_path, f"{web}/missing.mp4"]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    report = tmp_path / "report.html"
    ended = run("analyze", *sources, "--detector", "demo", "--json", "--report", report, TMPDIR=str(temporary))
    assert ended.returncode == 1, ended.stderr
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [answer.get("verdict", answer.get("error_code")) for answer in answers] == [
        *("real", "fake", "media_not_supported", "file_unreadable", "file_unreadable", "url_refused")
    ]
    assert answers[0]["source"] == str(real)
    assert "secret" not in ended.stdout + ended.stderr + report.read_text()
    assert "data:image/jpeg" in report.read_text()
    assert list(temporary.iterdir()) == []


def test_the_table_and_the_defaults_that_are_not_here(clips: dict[str, Path], tmp_path: Path) -> None:
    ended = run("analyze", clips["bikes.mp4"], SENTINEL_DETECTOR="demo,audio-xlsr", HF_HOME=str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    assert "bikes.mp4" in ended.stdout
    assert "real" in ended.stdout
    assert "does not detect deepfakes" in ended.stdout
    assert "models pull audio-xlsr" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("analyze", "x.mp4", "--detector", "no-such"), "no detector 'no-such'"),
        (("analyze", "x.mp4", "--detector", "video-large"), "models pull video-large"),
        (("analyze", "x.mp4"), "models pull video-large image-vit audio-xlsr"),
        (("analyze", "x.mp4", "--detector", "demo", "--report", "/no/such/folder/x.html"), "no folder"),
        (("evaluate", "no-such.csv", "--detector", "demo"), "cannot be read"),
    ],
)
def test_what_has_to_be_mended_is_said_in_a_line(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    ended = run(*arguments, HF_HOME=str(tmp_path))
    assert ended.returncode == 2, ended.stderr
    assert said in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [("analyze", "x.mp4", "--detector", "demo", "--report", "x.html"), ("evaluate", "x.csv", "--detector", "demo")],
)
def test_a_missing_extra_is_named(arguments: tuple[str, ...]) -> None:
    program = "import sys; sys.modules['matplotlib'] = None; from sentinel_worker.cli import main; main()"
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "pip install 'sentinel-worker[reports]'" in ended.stderr


@pytest.mark.timeout(400)
def test_a_detector_is_measured_calibrated_and_used_with_its_calibration(
    clips: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    make = [sys.executable, "-m", "examples.demo_checkpoint.manifest", "--pairs", "24", "--seed", "7", str(folder)]
    subprocess.run(make, check=True, cwd=ROOT, capture_output=True)
    out = tmp_path / "out"
    ended = run("evaluate", folder / "MANIFEST.csv", "--detector", "demo", "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert "48 files in 24 groups" in ended.stdout
    assert {path.name for path in out.iterdir()} >= {"report.html", "calibration.json", "roc.png"}
    fitted = json.loads((out / "calibration.json").read_text())

    (out / "detectors.toml").write_text('[detectors.demo]\ncalibration = "calibration.json"\n')
    used = run("analyze", clips["bikes.mp4"], "--detector", "demo", "--json", "--detectors", out / "detectors.toml")
    answer = json.loads(used.stdout)
    assert answer["threshold"] == pytest.approx(fitted["fake_from"])
    assert answer["detector"]["temperature"] == pytest.approx(fitted["temperature"])
    assert answer["detector"]["calibrated"] is True

    (out / "calibration.json").write_text(json.dumps(fitted | {"weights_sha256": "0" * 64}))
    refused = run("analyze", clips["bikes.mp4"], "--detector", "demo", "--detectors", out / "detectors.toml")
    assert refused.returncode == 2
    assert "calibration" in refused.stderr
