"""Runs `sentinel-worker` with its own temporary folder and only the demo's weights.

Most commands run in this process, which has imported torch anyway. Those that need a clean process or hidden imports
run in a separate one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from sentinel_worker.cli import app

ROOT = Path(__file__).parents[3]
MAIN = "from sentinel_worker.cli import main; main()"

Answer = subprocess.CompletedProcess[str]
Command = Callable[..., Answer]


def arguments(program: str, words: Sequence[str | Path]) -> list[str]:
    """`program` is Python that runs with `words` as its command line."""
    return [sys.executable, "-c", program, *map(str, words)]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The temporary folder of the commands."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def environment(temporary: Path, tmp_path: Path) -> dict[str, str]:
    """Environment that commands need beside this process's own."""
    return {
        "TMPDIR": str(temporary),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor"),  # torch creates and keeps it, for all processes
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "200",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture
def command(environment: dict[str, str], temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `sentinel-worker` with these words in this process, and check that its temporary folder is then empty."""
    for name in [name for name in os.environ if name.startswith("SENTINEL_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", None)  # tempfile read it from the environment earlier
    monkeypatch.setattr(constants, "HF_HOME", environment["HF_HOME"])
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub" / "hub"))
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path) -> Answer:
        answer = CliRunner().invoke(app, [os.fspath(word) for word in words])
        if answer.exc_info is not None and answer.exc_info[0] is not SystemExit:
            pytest.fail("".join(traceback.format_exception(*answer.exc_info)))
        assert list(temporary.iterdir()) == []
        return Answer(words, answer.exit_code, answer.stdout, answer.stderr)

    return run


@pytest.fixture
def process(environment: dict[str, str], temporary: Path, tmp_path: Path) -> Command:
    """Run a command in a separate process; `program` is Python that takes the words.

    `without` lists packages that cannot be imported, `settings` adds to its environment.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SENTINEL_")}

    def run(*words: str | Path, without: Sequence[str] = (), program: str = MAIN, **settings: str) -> Answer:
        hidden = f"import sys; sys.modules.update(dict.fromkeys({list(without)!r}))"
        answer = subprocess.run(
            arguments(f"{hidden}\n{program}", words),
            env=inherited | environment | settings,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=300,
            check=False,
        )
        assert "Traceback" not in answer.stderr, answer.stderr
        assert list(temporary.iterdir()) == []
        return answer

    return run
