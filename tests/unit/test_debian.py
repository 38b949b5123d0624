"""`deploy/debian.sh`: what it installs as root; for another user one command for all that is missing."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "debian.sh"
DEBIANS_PYTHON = 'case "$2" in *ctypes*) exit 1;; *version_info*) echo 3.11;; esac'
INSTALLING = """
echo "$@" >>{calls}
case "$*" in *install*) ;; *) exit ;; esac
for package; do [ ! -e {archive}/"$package" ] || {ln} -sf {archive}/"$package" {programs}; done
"""
"""`apt-get`, with packages of one file each."""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Programs of a machine with an ordinary user, without FFmpeg or Chromium, and without their libraries."""
    grep = shutil.which("grep")
    assert grep is not None
    (folder := tmp_path / "programs").mkdir()
    (folder / "grep").symlink_to(grep)
    add(folder, "id", "echo 1000")
    add(folder, "ldconfig", "true")
    add(folder, "python3", DEBIANS_PYTHON)
    return folder


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
    [("demo", "ffmpeg libpython3.11"), ("test", "ffmpeg libpython3.11 chromium libatomic1 linux-libc-dev")],
)
def test_one_command_names_all_that_is_missing(programs: Path, purpose: str, packages: str) -> None:
    code, said = run(programs, purpose)
    assert code == 1
    assert f"apt-get install --yes --no-install-recommends {packages}'" in said


def test_the_library_is_that_of_the_python_that_is_named(programs: Path) -> None:
    add(programs, "newer", DEBIANS_PYTHON.replace("3.11", "3.13"))
    assert "ffmpeg libpython3.13'" in run(programs, "demo", "newer")[1]


def test_what_only_some_tests_need_is_named_and_stops_nothing(programs: Path) -> None:
    add(programs, "ffmpeg", "true")
    add(programs, "ldconfig", 'echo "\tlibavdevice.so.59 (libc6,x86-64) => /usr/lib/libavdevice.so.59"')
    add(programs, "python3", 'case "$2" in *version_info*) echo 3.11;; esac')
    assert run(programs, "demo") == (0, "")
    code, said = run(programs, "test")
    assert code == 0
    assert "--no-install-recommends chromium libatomic1 linux-libc-dev'" in said
    add(programs, "ls", "true")
    assert "--no-install-recommends chromium libatomic1'" in run(programs, "test")[1]


def test_root_gets_all_in_one_run_even_pythons_library_without_a_python(programs: Path, tmp_path: Path) -> None:
    archive = apt(programs, tmp_path)
    add(archive, "ffmpeg", "true")
    add(archive, "python3", DEBIANS_PYTHON.replace("exit 1", f"[ -e {programs}/libpython3.11 ]"))
    add(archive, "libpython3.11", "true")
    code, said = run(programs, "demo")
    assert (code, "Install with" in said) == (0, False)
    assert installed(tmp_path) == ["ffmpeg python3 python3-venv", "libpython3.11"]


def test_root_does_not_try_again_what_cannot_be_installed(programs: Path, tmp_path: Path) -> None:
    apt(programs, tmp_path)
    code, said = run(programs, "demo")
    assert code == 1
    assert "--no-install-recommends ffmpeg python3 python3-venv'" in said
    assert installed(tmp_path) == ["ffmpeg python3 python3-venv"]


def apt(programs: Path, folder: Path) -> Path:
    """Make this the machine of a root without Python; return the folder of what `apt-get` can install."""
    (programs / "python3").unlink()
    add(programs, "id", "echo 0")
    add(programs, "ldconfig", f'[ ! -e {programs}/ffmpeg ] || echo "libavdevice.so.59"')
    (archive := folder / "archive").mkdir()
    script = INSTALLING.format(calls=folder / "calls", archive=archive, programs=programs, ln=shutil.which("ln"))
    add(programs, "apt-get", script)
    return archive


def installed(folder: Path) -> list[str]:
    """Return the packages of each `apt-get install`."""
    calls = (folder / "calls").read_text().splitlines()
    return [call.partition("--no-install-recommends ")[2] for call in calls if " install " in call]
