"""Check of the demuxer with which FFmpeg would open a file, made by asking FFmpeg before it opens the file.

FFmpeg chooses by its own scores, and torchcodec has no option to choose: a file that starts like QuickTime to `sniff`
could be a DASH manifest to FFmpeg, which names other files (docs/adr/0016). So both have to agree. The library asked is
the one that torchcodec has loaded, through the function that it will call itself.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Final

from torchcodec._core.ops import get_ffmpeg_library_versions

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.media.containers.allowed import CONTAINERS

_READ: Final = 1


def check_demuxer(path: Path, container: str) -> None:
    """Refuse a file that FFmpeg would not read as the `container` that `sniff` named.

    Raises `Permanent('media_not_supported')`. A file that no demuxer takes passes: opening it fails and gives the
    reason.
    """
    found = probed_demuxer(path)
    if found is not None and found not in CONTAINERS[container].probed:
        raise Permanent(
            "media_not_supported",
            f"The file is not media that can be analyzed: it starts like {container} but reads like {found}.",
            params={"found": found},
        )


def probed_demuxer(path: Path) -> str | None:
    """First name of the demuxer that FFmpeg would choose for the file; None if it would choose none."""
    library = load_library()
    context, chosen = ctypes.c_void_p(), ctypes.POINTER(_InputFormat)()
    name = os.fsencode(path)
    if library.avio_open(ctypes.byref(context), b"file:" + name, _READ) < 0:
        return None
    try:
        score = library.av_probe_input_buffer2(context, ctypes.byref(chosen), name, None, 0, 0)
    finally:
        library.avio_closep(ctypes.byref(context))
    return chosen.contents.name.decode().split(",")[0] if score >= 0 and chosen else None


class _InputFormat(ctypes.Structure):
    """FFmpeg's AVInputFormat, which starts with its names, separated by commas, in every version."""

    _fields_ = (("name", ctypes.c_char_p),)


@cache
def load_library() -> ctypes.CDLL:
    """Return the libavformat that torchcodec uses; raises `OSError` if none of that name is loaded."""
    major = get_ffmpeg_library_versions()["libavformat"][0]  # type: ignore[no-untyped-call]
    library = ctypes.CDLL(f"libavformat.so.{major}", mode=os.RTLD_NOLOAD)
    library.avio_open.argtypes = (ctypes.POINTER(ctypes.c_void_p), ctypes.c_char_p, ctypes.c_int)
    library.avio_closep.argtypes = (ctypes.POINTER(ctypes.c_void_p),)
    library.av_probe_input_buffer2.argtypes = (
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.POINTER(_InputFormat)),
        ctypes.c_char_p,
        ctypes.c_void_p,
        ctypes.c_uint,
        ctypes.c_uint,
    )
    return library
