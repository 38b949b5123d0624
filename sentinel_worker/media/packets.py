"""Opening of files with PyAV. Runs in a decoding child."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer

_NEVER_LOADED: Final = ("av.__main__", "av.datasets")
_ONLY_FILES: Final = {"protocol_whitelist": "file"}


def load_pyav() -> None:
    """Import all of PyAV: it imports some parts for the first stream that needs them, which a confined child cannot."""
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if module.name not in _NEVER_LOADED:
            importlib.import_module(module.name)


def open_container(path: Path, demuxer: str) -> InputContainer:
    """Open the file with exactly this FFmpeg demuxer; nothing that the file names is opened in turn.

    Raises `av.FFmpegError` if it is damaged.
    """
    return av.open(str(path), format=demuxer, options=_ONLY_FILES, metadata_errors="replace")
