"""Facts about a media file, its limits, and the shape of what is decoded from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sentinel_worker.domain.windows import Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Kind = Literal["video", "image", "audio"]
ResizeMode = Literal["squash", "shortest_edge"]
Resample = Literal["bilinear", "bicubic"]


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """Facts that the decoder found.

    `kind`: `video` has pictures that follow each other (an animation too), `image` is one picture, `audio` has only
    sound. Width, height, rate and duration describe the pictures, after rotation; a file without pictures has the
    duration of its sound and 0 for the rest. A picture has no duration and a rate of 0. `audio_seconds`, `sample_rate`
    (hertz) and `channels` describe the sound track that players play, and are 0 without one; the latter two also if it
    cannot be decoded. `video_tracks` and `audio_tracks` count the tracks of the file, of which one each is looked at.
    """

    kind: Kind
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
    audio_seconds: float = 0.0
    sample_rate: int = 0
    channels: int = 0
    video_tracks: int = 0
    audio_tracks: int = 0


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Limits of one request. The child refuses a file beyond them before it decodes it, and the kernel ends a child
    that uses more seconds or memory.

    A detector resizes the shorter side to a fixed length, so `max_side_ratio` bounds the longer one. Pictures are read
    whole and animations are decoded from the start, so they have their own limits; a still picture of more than
    `max_pixels` is reduced while it is decoded. `max_memory_bytes` is counted on top of what the decoder itself takes
    up before it opens the file.
    """

    max_bytes: int = 2 * 1024**3
    max_duration_seconds: float = 3 * 3600.0
    max_pixels: int = 8192 * 8192
    max_side_ratio: float = 50.0
    max_picture_pixels: int = 270_000_000
    max_picture_bytes: int = 512 * 1024**2
    max_animation_frames: int = 20_000
    max_frames_per_second: float = 240.0
    max_frames: int = 3 * 3600 * 120
    max_streams: int = 32
    max_cpu_seconds: int = 600
    max_wall_seconds: float = 900.0
    max_memory_bytes: int = 3 * 1024**3


@dataclass(frozen=True, slots=True)
class ClipGeometry:
    """Rules that turn a window into a clip of uint8 RGB [frames, 3, crop_height, crop_width].

    Frames are `step_seconds` apart (see `windows.frame_times`), or `step_frames` frames of the track, where that is set
    and the child knows the time of each. `squash` resizes each frame to `(resize_height, resize_width)` and ignores the
    aspect ratio; `shortest_edge` keeps the ratio and brings the shorter side to `resize_height` (= `resize_width`),
    with the longer one rounded down. Then the centre of `(crop_height, crop_width)` is cut out; equal sizes cut
    nothing. Resizing is antialiased.
    """

    frames: int
    step_seconds: float
    resize_mode: ResizeMode
    resize_height: int
    resize_width: int
    crop_height: int
    crop_width: int
    resample: Resample = "bilinear"
    step_frames: int | None = None


@dataclass(frozen=True, slots=True)
class SoundGeometry:
    """Rules that turn a window of sound into float32 [samples], mono, -1 to 1, at `sample_rate` hertz.

    A window with fewer samples (the end of a short track) is repeated from its start until it is full, and `Heard` says
    so. A window whose root mean square is below `silence_dbfs` (decibels relative to full scale) counts as silence and
    is skipped.
    """

    samples: int
    sample_rate: int = 16_000
    silence_dbfs: float = -60.0


@dataclass(frozen=True, slots=True)
class FaceSearch:
    """Rules by which faces are found and cut out of a window.

    `samples` of its frames, evenly spread, are searched; boxes that overlap from one to the next are the same face.
    Each of the `max_faces` largest faces gives its own clip: a square around all its boxes, `margin` (a share of the
    box's longer side, on each side) wider, the same for the whole window. Boxes below `min_score` (0 to 1) or with a
    shorter side below `min_pixels` do not count as faces.
    """

    samples: int = 4
    max_faces: int = 4
    margin: float = 0.3
    # Seen with CenterFace: carphone 0.83 to 0.94 in every frame, the riders of bikes 0.66 to 0.90; drawn animals
    # up to 0.57, FFmpeg's mandelbrot 0.49, and a headlight 0.63 in one frame, which is too few to be a face.
    min_score: float = 0.6
    min_pixels: int = 20


@dataclass(frozen=True, slots=True)
class Face:
    """Location of a cut-out face, as fractions (0 to 1) of the picture's width and height, and the confidence of the
    search (`score`, 0 to 1)."""

    left: float
    top: float
    right: float
    bottom: float
    score: float


SkipReason = Literal["no_face", "silence", "damaged"]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A window with nothing to score."""

    window: Window
    reason: SkipReason


@dataclass(frozen=True, slots=True)
class Heard:
    """Sound of a window that is in its clip, if that is not a full window of all channels.

    `seconds` were decoded, fewer than the clip is long: damaged parts are silent in the clip, and what the track is too
    short for is filled by repeating the window from its start. Only `channel`, counted from 1, is in the clip, because
    the mix of all channels is almost silent. None: a full window, or all channels.
    """

    seconds: float | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """The part of a window that is scored: uint8 RGB [T, 3, H, W] or float32 sound [S], C-contiguous.

    A window with several faces gives one clip for each. `heard` is None for pictures and for a full window of sound.
    """

    window: Window
    values: npt.NDArray[np.uint8] | npt.NDArray[np.float32]
    face: Face | None = None
    heard: Heard | None = None
