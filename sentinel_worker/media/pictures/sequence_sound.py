"""Sound beside an image sequence: an animated AVIF may have a track of it, like a film."""

from __future__ import annotations

from pathlib import Path

import av

from sentinel_worker.domain.machine_errors import out_of_memory
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.opened_media import SoundTrack
from sentinel_worker.media.protocol import ProbedFacts
from sentinel_worker.media.scan.media_file import MediaFile
from sentinel_worker.media.scan.packets import scan
from sentinel_worker.media.sound.tracks import find_sound


def add_sound(path: Path, facts: ProbedFacts, limits: MediaLimits) -> tuple[ProbedFacts, SoundTrack | None]:
    """Add the file's sound track to the facts; without one, or with one that is damaged, leave them."""
    file = MediaFile(path, "mov")
    try:
        with file.open() as opened:
            found = find_sound(file, opened, scan(opened).streams, limits, ())
    except av.FFmpegError as error:
        if out_of_memory(error):
            raise
        return facts, None
    return (facts, None) if found is None else (found.add_to(facts), found.track)
