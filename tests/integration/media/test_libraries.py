"""A shared library that the decoder lacks is reported before a worker starts."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sentinel_worker.domain.errors import Fatal
from sentinel_worker.media.libraries import FFMPEG, PYTHON, require_libraries

NOWHERE_PYTHON, NOWHERE_FFMPEG = "libpython9.99.so.1.0", ("libavdevice.so.999", "libavdevice.so.998")
INSTALL = "apt-get install --no-install-recommends"
UNSHARE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))
SUPABASE = {"SUPABASE_URL": "http://127.0.0.1:1", "SUPABASE_SECRET_KEY": "sb_secret_" + "x" * 24}


@pytest.mark.parametrize(
    ("python", "ffmpeg", "said", "packages"),
    [
        (NOWHERE_PYTHON, FFMPEG, NOWHERE_PYTHON, "libpython9.99"),
        (PYTHON, NOWHERE_FFMPEG, NOWHERE_FFMPEG[0], "ffmpeg"),
        (NOWHERE_PYTHON, NOWHERE_FFMPEG, f"and {NOWHERE_PYTHON}", "ffmpeg libpython9.99"),
    ],
)
def test_what_is_missing_is_named_with_its_package(
    python: str, ffmpeg: tuple[str, ...], said: str, packages: str
) -> None:
    with pytest.raises(Fatal) as missing:
        require_libraries(python, ffmpeg)
    assert missing.value.code == "library_missing"
    assert said in missing.value.message
    assert missing.value.message.endswith(f"{INSTALL} {packages}")


def test_one_ffmpeg_is_enough() -> None:
    require_libraries(PYTHON, (*NOWHERE_FFMPEG, *FFMPEG))


def test_the_libraries_are_those_that_torchcodec_is_linked_to() -> None:
    spec = importlib.util.find_spec("torchcodec")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    text = b"".join(path.read_bytes() for path in folder.glob("libtorchcodec_*.so"))
    linked = {name.decode() for name in re.findall(rb"\0(lib(?:avdevice|python)[\w.]*\.so[.\d]*)(?=\0)", text)}
    assert linked == {*FFMPEG, PYTHON}


@pytest.fixture
def without_ffmpeg() -> list[str]:
    """Return the start of a command line that replaces FFmpeg's library with an empty file."""
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    places = re.findall(rf"(?:{'|'.join(map(re.escape, FFMPEG))}) .*=> (\S+)", known)
    assert places
    hide = "".join(f"mount --bind /dev/null {shlex.quote(place)} && " for place in places)
    command = [*UNSHARE, "sh", "-c", f'{hide}exec "$@"', "sh"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("private mounts are not allowed here")
    return command


@pytest.mark.parametrize("command", [["check"], ["dev", "--port", "0"]], ids=["check", "dev"])
def test_a_command_prints_a_sentence_instead_of_a_traceback(
    command: list[str], without_ffmpeg: list[str], tmp_path: Path
) -> None:
    line = [*without_ffmpeg, sys.executable, "-m", "sentinel_worker", *command]
    ended = subprocess.run(line, cwd=tmp_path, env=os.environ | SUPABASE, capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    [said] = ended.stderr.splitlines()
    assert said.startswith("error The decoder cannot load FFmpeg's shared libraries")
    assert said.endswith(f"{INSTALL} ffmpeg")
    assert not list(tmp_path.iterdir())
