"""A hub on a real socket, and `sentinel-worker models`: mostly in this process, sometimes in its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import close_session, constants
from typer.testing import CliRunner

from sentinel_worker.commands import models
from sentinel_worker.commands.models import app
from tests.integration.detectors.conftest import MakeCheckpoint
from tests.integration.detectors.models.hub import Hub, serve

IMAGE = "prithivMLmods/Deep-Fake-Detector-v2-Model"
FIRST = "1" * 40
"""A commit of a repository."""
MODELS = "from sentinel_worker.commands.models import app; app(prog_name='sentinel-worker models')"
LOADER = """
import json, sys
import numpy, torch
from pathlib import Path
from sentinel_worker.detectors.catalogue import read_detectors
from sentinel_worker.detectors.loading import load_detector
from sentinel_worker.detectors.registry import find_detector
from sentinel_worker.domain.errors import Fatal
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    key, file = json.loads(line)
    try:
        detector = load_detector(find_detector(key, read_detectors(file and Path(file))), "cpu")
    except Fatal as error:
        answer = {"refused": error.message}
    else:
        clip = numpy.full((1, *detector.clip_shape), 0.25, detector.clip_dtype)
        answer = detector.describe() | {"odds": float(detector.score(torch.from_numpy(clip)))}
    print(json.dumps(answer), file=answers, flush=True)
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Load = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def serving() -> Iterator[Hub]:
    with serve() as hub:
        yield hub


@pytest.fixture
def hub(serving: Hub) -> Hub:
    """A hub without repositories or requests."""
    serving.repositories.clear()
    serving.requests.clear()
    return serving


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub") / "home"


@pytest.fixture
def home(place: Path) -> Path:
    """An HF_HOME in which no test has left anything."""
    shutil.rmtree(place, ignore_errors=True)
    return place


def environment_of(hub: Hub, home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "SENTINEL_"))}
    return kept | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "COLUMNS": "200",
    }


@pytest.fixture
def run(hub: Hub, home: Path) -> Run:
    """Run `models` with arguments, or a program, in a process; HF_HUB_OFFLINE is set, as it is for a daemon."""

    def run(*arguments: str, program: str = MODELS, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=environment_of(hub, home) | {"HF_HUB_OFFLINE": "1"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


@pytest.fixture
def command(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run `models` in this process. It imported the hub's library earlier, so the constants read then are set here."""
    for name in [name for name in os.environ if name.startswith(("HF_", "SENTINEL_"))]:
        monkeypatch.delenv(name)
    for name, value in environment_of(hub, home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    read: dict[str, str | bool] = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_HUB_OFFLINE": False,  # `pull` sets it before the import
    }
    for constant, found in read.items():
        monkeypatch.setattr(constants, constant, found)
    close_session()  # drop its sessions, which may use a proxy
    # Rich keeps the width that COLUMNS had when the first test imported the module.
    monkeypatch.setattr(models.console, "_width", 200)

    def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        answer = CliRunner().invoke(app, arguments, env=environment)
        if answer.exc_info is not None and answer.exc_info[0] is not SystemExit:
            pytest.fail("".join(traceback.format_exception(*answer.exc_info)))
        return subprocess.CompletedProcess(arguments, answer.exit_code, answer.stdout, answer.stderr)

    yield command
    close_session()


@pytest.fixture(scope="module")
def loader(serving: Hub, place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """One process for all tests that loads detectors, because it imports torch. It may contact the hub."""
    with (tmp_path_factory.mktemp("loader") / "errors").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", LOADER],
            env=environment_of(serving, place),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        with process:
            yield process


@pytest.fixture
def load(loader: subprocess.Popen[str], home: Path) -> Load:
    """Load a detector and score a clip; return its description with the log-odds, or the reason of the refusal."""

    def load(key: str, detectors: Path | None = None) -> dict[str, Any]:
        assert loader.stdin is not None
        assert loader.stdout is not None
        print(json.dumps([key, detectors and str(detectors)]), file=loader.stdin, flush=True)
        answer: dict[str, Any] = json.loads(loader.stdout.readline())
        return answer

    return load


@pytest.fixture
def files(make_checkpoint: MakeCheckpoint) -> dict[str, bytes]:
    """A repository's files: a small ViT whose labels the registry swaps, and files that must not be fetched."""
    spec = make_checkpoint(
        "image",
        labels={0: "Realism", 1: "Deepfake"},
        preprocessor={"image_processor_type": "ViTImageProcessor"},
    )
    assert spec.folder is not None
    found = {path.name: path.read_bytes() for path in spec.folder.iterdir()}
    return found | {"README.md": b"# A model", "pytorch_model.bin": b"pickled", "handler.py": b"evil"}
