"""`sentinel-worker` as a real process, with a temporary folder of its own and no weights but the demo's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

Answer = subprocess.CompletedProcess[str]
Command = Callable[..., Answer]


def arguments(program: str, words: Sequence[str | Path]) -> list[str]:
    """`program` is Python that runs with `words` as its command line."""
    return [sys.executable, "-c", program, *map(str, words)]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The temporary folder of the processes."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def command(temporary: Path, tmp_path: Path) -> Command:
    """Run `sentinel-worker` with these words, and see that it leaves nothing in its temporary folder.

    `without` are packages that cannot be imported, `settings` more of its environment.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENTINEL_")}
    environment |= {
        "TMPDIR": str(temporary),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor"),  # torch makes and keeps it, for all processes
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "200",
        "PYTHONPATH": str(ROOT),
    }

    def run(*words: str | Path, without: Sequence[str] = (), **settings: str) -> Answer:
        hidden = f"import sys; sys.modules.update(dict.fromkeys({list(without)!r}))"
        answer = subprocess.run(
            arguments(f"{hidden}; from sentinel_worker.cli import main; main()", words),
            env=environment | settings,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=110,
            check=False,
        )
        assert "Traceback" not in answer.stderr, answer.stderr
        assert list(temporary.iterdir()) == []
        return answer

    return run
