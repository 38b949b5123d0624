"""`deploy/debian.sh` for a user other than root: one command for all that is missing, and what works without it."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "debian.sh"
DEBIANS_PYTHON = 'case "$2" in *ctypes*) exit 1;; *version_info*) echo 3.11;; esac'


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Programs of a machine with an ordinary user, without FFmpeg or Chromium, and without their libraries."""
    grep = shutil.which("grep")
    assert grep is not None
    (tmp_path / "grep").symlink_to(grep)
    add(tmp_path, "id", "echo 1000")
    add(tmp_path, "ldconfig", "true")
    add(tmp_path, "python3", DEBIANS_PYTHON)
    return tmp_path


def add(folder: Path, name: str, does: str) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{does}\n")
    (folder / name).chmod(0o755)


def run(programs: Path, *arguments: str) -> tuple[int, str]:
    ended = subprocess.run(
        ["/bin/sh", str(SCRIPT), *arguments], env={"PATH": str(programs)}, capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    ("purpose", "packages"),
    [("demo", "ffmpeg libpython3.11"), ("test", "ffmpeg libpython3.11 chromium libatomic1")],
)
def test_one_command_names_all_that_is_missing(programs: Path, purpose: str, packages: str) -> None:
    code, said = run(programs, purpose)
    assert code == 1
    assert f"apt-get install --yes --no-install-recommends {packages}'" in said


def test_the_library_is_that_of_the_python_that_is_named(programs: Path) -> None:
    add(programs, "newer", DEBIANS_PYTHON.replace("3.11", "3.13"))
    assert "ffmpeg libpython3.13'" in run(programs, "demo", "newer")[1]


def test_a_browser_that_is_missing_is_said_and_stops_nothing(programs: Path) -> None:
    add(programs, "ffmpeg", "true")
    add(programs, "ldconfig", 'echo "\tlibavdevice.so.59 (libc6,x86-64) => /usr/lib/libavdevice.so.59"')
    add(programs, "python3", 'case "$2" in *version_info*) echo 3.11;; esac')
    assert run(programs, "demo") == (0, "")
    code, said = run(programs, "test")
    assert code == 0
    assert "--no-install-recommends chromium libatomic1'" in said
