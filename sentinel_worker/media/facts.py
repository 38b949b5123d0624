"""What is known about a media file, what is allowed of it, and the shape of a decoded clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sentinel_worker.media.windows import Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ResizeMode = Literal["squash", "shortest_edge"]
Resample = Literal["bilinear", "bicubic"]


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What the decoder found. Width, height, rate and duration are those of the first usable video stream,
    after rotation; 0 where there is none. `duration_seconds` falls back to the container's."""

    container: str
    duration_seconds: float
    size_bytes: int
    has_video: bool
    has_audio: bool
    video_codec: str | None = None
    audio_codec: str | None = None
    width: int = 0
    height: int = 0
    frames_per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """What one request may cost. The child refuses a file beyond these before it decodes it, and the
    kernel ends a child that uses more seconds or memory."""

    max_bytes: int = 2 * 1024**3
    max_duration_seconds: float = 3 * 3600.0
    max_pixels: int = 8192 * 8192
    max_frames_per_second: float = 240.0
    max_frames: int = 3 * 3600 * 120
    max_streams: int = 32
    max_cpu_seconds: int = 600
    max_wall_seconds: float = 900.0
    max_memory_bytes: int = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class ClipGeometry:
    """How a window becomes a clip of uint8 RGB [frames, 3, crop_height, crop_width].

    `step_seconds` lies between two frames (`windows.frame_times` is the rule). `squash` resizes each frame
    to `(resize_height, resize_width)` and ignores the aspect ratio; `shortest_edge` keeps the ratio and
    brings the shorter side to `resize_height` (= `resize_width`), the longer one rounded down. Then the
    centre of `(crop_height, crop_width)` is cut out; equal sizes cut nothing. Resizing is antialiased.
    """

    frames: int
    step_seconds: float
    resize_mode: ResizeMode
    resize_height: int
    resize_width: int
    crop_height: int
    crop_width: int
    resample: Resample = "bilinear"


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """The decoded frames of one window: uint8 RGB, shape [T, 3, H, W], C-contiguous."""

    window: Window
    frames: npt.NDArray[np.uint8]
