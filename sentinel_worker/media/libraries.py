"""The system's shared libraries that the decoder loads: which are missing, and which Debian packages contain them.

torchcodec's wheel contains neither FFmpeg nor Python's own library, and Debian's python3 is linked statically. If one
is missing, torchcodec reports only a page of tracebacks, one for each version of FFmpeg that it tries.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sentinel_worker.confine import bare_process
from sentinel_worker.domain.errors import Fatal

FFMPEG: Final = tuple(f"libavdevice.so.{number}" for number in (62, 61, 60, 59, 58))
"""FFmpeg 8, 7, 6, 5 and 4, in the order in which torchcodec tries them. libavdevice loads the others that it needs."""
PYTHON: Final = f"libpython{sys.version_info.major}.{sys.version_info.minor}{sys.abiflags}.so.1.0"
"""Python's own library, to which torchcodec's build for this Python is linked, even if Python itself is linked
statically."""

# A Python that is linked to its library has already loaded it; any other asks the loader.
_LOAD: Final = """
import ctypes, sys
for name in sys.argv[1:]:
    try:
        ctypes.CDLL(name)
    except OSError:
        continue
    print(name, flush=True)
"""


def require_libraries(python: str = PYTHON, ffmpeg: Sequence[str] = FFMPEG) -> None:
    """Raise `Fatal('library_missing')` if the decoder cannot load the libraries that it needs; it takes 0.2 s.

    `python` is needed, and one of `ffmpeg`. A separate process loads them, with the zygote's empty environment: code
    that parses media has no place in the worker, not even unused.
    """
    loaded = bare_process.output(_LOAD, python, *ffmpeg).split()
    missing: dict[str, str] = {}
    if not set(ffmpeg) & set(loaded):
        missing["ffmpeg"] = f"FFmpeg's shared libraries ({ffmpeg[-1]} to {ffmpeg[0]})"
    if python not in loaded:
        missing[python.partition(".so")[0]] = python + _elsewhere(python)
    if missing:
        raise Fatal(
            "library_missing",
            f"The decoder cannot load {' and '.join(missing.values())}. "
            f"On Debian: apt-get install --no-install-recommends {' '.join(missing)}",
        )


def _elsewhere(python: str) -> str:
    """Hint at the folder where this Python keeps its library, if the library exists and the loader does not look
    there."""
    folder = Path(str(sysconfig.get_config_var("LIBDIR")))
    return f" (the loader does not look into {folder})" if (folder / python).exists() else ""
