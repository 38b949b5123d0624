"""Media that nobody can decode without a key, and sound of codecs that no decoder here reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.media.containers import transport_streams
from sentinel_worker.media.containers.allowed import CONTAINERS
from sentinel_worker.media.containers.ebml import is_encrypted
from sentinel_worker.media.containers.sample_entries import sample_entries

_PROTECTED_ENTRIES: Final = frozenset({b"encv", b"enca", b"drmi", b"drms", b"aavd"})
"""Sample entries of Common Encryption, of Apple's FairPlay, and of Audible."""
IMMERSIVE_AUDIO: Final = "IAMF"
"""Codec whose channels are in several streams; nothing here mixes them."""
_UNKNOWN_SOUNDS: Final = {
    b"iamf": IMMERSIVE_AUDIO,
    b"mha1": "MPEG-H",
    b"mha2": "MPEG-H",
    b"mhm1": "MPEG-H",
    b"mhm2": "MPEG-H",
    b"ac-4": "AC-4",
    b"dtsx": "DTS:X",
    b"dtsy": "DTS:X",
}
_ASF_OBJECT_BYTES: Final = 24
_ASF_HEADER_BYTES: Final = 30
_ASF_ENCRYPTIONS: Final = frozenset(
    bytes.fromhex(guid)
    for guid in (
        "fbb3112223bdd211b4b700a0c955fc6e",  # Content Encryption Object
        "14e68a292226174cb935dae07ee9289c",  # Extended Content Encryption Object
    )
)
_MAX_ASF_OBJECTS: Final = 1000


def check_protection(path: Path, container: str) -> None:
    """Refuse a file with an encrypted video or sound track. A sample entry counts only if samples use it.

    Raises `Permanent('media_not_supported')`.
    """
    demuxer = CONTAINERS[container].demuxer
    if demuxer == "mov":
        protected = any(track.used_kinds & _PROTECTED_ENTRIES for track in sample_entries(path))
    elif demuxer == "matroska":
        with path.open("rb") as file:
            protected = is_encrypted(file)
    elif demuxer == "asf":
        protected = _is_protected_asf(path)
    else:
        protected = demuxer == "mpegts" and transport_streams.is_scrambled(path)
    if protected:
        raise Permanent(
            "media_not_supported",
            "The file is protected by DRM: without its key it can be neither played nor analyzed.",
            params={"found": "protected media"},
        )


def undecodable_sounds(path: Path, container: str) -> dict[int, str]:
    """Codecs ("MPEG-H") of the sound tracks that no decoder here reads, by FFmpeg's stream id.

    The ids are track numbers in MP4, PIDs in MPEG-TS.
    """
    demuxer = CONTAINERS[container].demuxer
    if demuxer == "mpegts":
        return transport_streams.undecodable_sounds(path)
    if demuxer == "mov":
        # FFmpeg and browsers decode a whole track as its first entry says.
        firsts = {track.number: track.kinds[0] for track in sample_entries(path) if track.kinds}
        return {track: _UNKNOWN_SOUNDS[kind] for track, kind in firsts.items() if kind in _UNKNOWN_SOUNDS}
    return {}


def _is_protected_asf(path: Path) -> bool:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        at = _ASF_HEADER_BYTES
        for _ in range(_MAX_ASF_OBJECTS):
            file.seek(at)
            head = file.read(_ASF_OBJECT_BYTES)
            if head[:16] in _ASF_ENCRYPTIONS:
                return True
            at += max(int.from_bytes(head[16:], "little"), _ASF_OBJECT_BYTES)
            if at >= size:
                break
    return False
