"""Faces are found, linked and cropped steadily; footage without faces is reported as such."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from examples.samples import film_path
from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import Clip, ClipGeometry, Face, FaceSearch, MediaLimits
from sentinel_worker.domain.windows import FrameStep, Window, WindowPolicy, plan_windows
from sentinel_worker.media import face_clips
from sentinel_worker.media.centerface import MODEL_PATH, Found, face_model
from sentinel_worker.media.decode import DecodedClip, SkippedWindow
from sentinel_worker.media.face_clips import decode_faces
from sentinel_worker.media.faces import Square, as_face, link, square_around
from sentinel_worker.media.probe import open_media
from tests.integration.media.films import ffmpeg
from tests.matrix import sampled

LIMITS = MediaLimits()
SIDE = 128
FACELESS = ["testsrc2=s=640x360:r=25", "mandelbrot=s=640x360:r=25", "gradients=s=640x360:r=25"]


def searched(
    path: Path, frames: int = 16, search: FaceSearch | None = None
) -> tuple[list[Window], list[DecodedClip | SkippedWindow]]:
    """Decode at most eight windows of consecutive frames; return them and the faces in them."""
    media = open_media(path, LIMITS)
    rate = media.facts.frames_per_second
    windows = plan_windows(media.facts.duration_seconds, rate, WindowPolicy(frames, FrameStep(source_frames=1)))
    wanted = ClipGeometry(frames, 1 / rate, "squash", SIDE, SIDE, SIDE, SIDE)
    return windows, list(decode_faces(media, windows, wanted, search or FaceSearch()))


def clips_of(answers: list[DecodedClip | SkippedWindow]) -> list[Clip]:
    return [answer.clip for answer in answers if isinstance(answer, DecodedClip)]


def face_of(clip: Clip) -> Face:
    assert clip.face is not None
    return clip.face


def middle(face: Face) -> tuple[float, float]:
    return (face.left + face.right) / 2, (face.top + face.bottom) / 2


@pytest.fixture(scope="module")
def talking_man() -> tuple[list[Window], list[DecodedClip | SkippedWindow]]:
    return searched(film_path("carphone_pristine.mp4"))


def test_the_face_of_a_talking_man_is_in_every_window_and_stays_in_place(
    talking_man: tuple[list[Window], list[DecodedClip | SkippedWindow]],
) -> None:
    windows, answers = talking_man
    clips = clips_of(answers)
    assert [clip.window for clip in clips] == windows
    for clip in clips:
        assert face_of(clip).score > 0.8
        for frame in clip.values:
            found = face_model().find(np.ascontiguousarray(frame), 0.6)
            assert len(found.boxes) == 1
            left, top, right, bottom = found.boxes[0] / SIDE
            assert abs((left + right) / 2 - 0.5) < 0.2
            assert abs((top + bottom) / 2 - 0.5) < 0.2
            assert 0.4 < bottom - top < 0.75
    middles = np.array([middle(face_of(clip)) for clip in clips])
    assert np.abs(np.diff(middles, axis=0)).max() < 0.1


def test_the_crop_is_a_square_of_the_picture(
    talking_man: tuple[list[Window], list[DecodedClip | SkippedWindow]],
) -> None:
    _, answers = talking_man
    for clip in clips_of(answers):
        face = face_of(clip)
        # 176 x 144 pixels of 128:117 are 193 x 144 square ones.
        assert (face.right - face.left) * 193 == pytest.approx((face.bottom - face.top) * 144)
        assert clip.values.shape == (16, 3, SIDE, SIDE)
        assert clip.values.dtype == np.uint8


def test_windows_with_riders_are_scored_and_the_others_marked(bikes: Path) -> None:
    windows, answers = searched(bikes)
    # A man on a bicycle passes between 1.1 and 1.8 s; then cyclists, whose faces have 24 pixels.
    assert [answer.index for answer in answers if isinstance(answer, DecodedClip)] == [1, 2, 3]
    assert windows[1].start_seconds == pytest.approx(1.32)
    assert [answer.reason for answer in answers if isinstance(answer, SkippedWindow)] == ["no_face"] * 5
    _, answers = searched(bikes, search=FaceSearch(min_pixels=32))
    assert [answer.index for answer in answers if isinstance(answer, DecodedClip)] == [1]


@pytest.mark.parametrize("source", sampled("media", FACELESS, FACELESS[:1]))
def test_footage_without_faces(media: Path, source: str) -> None:
    path = media / f"{source.partition('=')[0]}.mp4"
    ffmpeg("-f", "lavfi", "-i", source, "-t", "4", "-pix_fmt", "yuv420p", path)
    windows, answers = searched(path)
    assert answers == [SkippedWindow(index, "no_face") for index in range(len(windows))]


def test_drawn_animals_are_no_faces() -> None:
    _, answers = searched(film_path("bigbuckbunny.mp4"))
    assert clips_of(answers) == []


def test_several_faces_come_largest_first(media: Path) -> None:
    path = media / "two-men.mp4"
    chain = "[0]split[a][b];[a]scale=352:288[large];[b]hflip,pad=176:288:0:72[small];[small][large]hstack"
    ffmpeg("-i", film_path("carphone_pristine.mp4"), "-filter_complex", chain, "-t", "1", "-pix_fmt", "yuv420p", path)
    _, answers = searched(path)
    found = [(answer.index, face_of(answer.clip)) for answer in answers if isinstance(answer, DecodedClip)]
    assert [index for index, _ in found] == [0, 0, 1, 1]
    for (_, large), (_, small) in (found[:2], found[2:]):
        assert large.left > 1 / 3 > small.left
        assert large.right - large.left > 1.5 * (small.right - small.left)
    _, answers = searched(path, search=FaceSearch(max_faces=1))
    assert [face.left > 1 / 3 for face in map(face_of, clips_of(answers))] == [True, True]
    _, answers = searched(path, search=FaceSearch(min_pixels=64))
    assert len(clips_of(answers)) == 2


def test_a_photograph(media: Path) -> None:
    path = media / "portrait.png"
    ffmpeg("-i", film_path("carphone_pristine.mp4"), "-frames:v", "1", path)
    wanted = ClipGeometry(1, 1.0, "squash", SIDE, SIDE, SIDE, SIDE)
    (answer,) = decode_faces(open_media(path, LIMITS), [Window(0.0, 1.0)], wanted, FaceSearch())
    assert isinstance(answer, DecodedClip)
    assert face_of(answer.clip).left == pytest.approx(0.22, abs=0.05)


def test_windows_too_large_to_keep_are_kept_smaller(
    talking_man: tuple[list[Window], list[DecodedClip | SkippedWindow]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, full = talking_man
    monkeypatch.setattr(face_clips, "MAX_WINDOW_BYTES", 16 * 3 * 88 * 72)
    _, small = searched(film_path("carphone_pristine.mp4"), search=FaceSearch(min_pixels=40))
    assert len(small) == len(full)
    for one, other in zip(clips_of(full), clips_of(small), strict=True):
        assert np.abs(np.subtract(middle(face_of(one)), middle(face_of(other)))).max() < 0.05
        # They are blurred: their neighbouring pixels differ less.
        assert np.abs(np.diff(other.values.astype(int))).mean() < 0.8 * np.abs(np.diff(one.values.astype(int))).mean()


def test_a_damaged_film_says_so(media: Path) -> None:
    path = media / "damaged-face.mp4"
    ffmpeg("-i", film_path("carphone_pristine.mp4"), "-c", "copy", "-movflags", "+faststart", path)
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 4
    content[start:] = bytes(len(content) - start)
    path.write_bytes(content)
    with pytest.raises(Permanent) as refused:
        searched(path)
    assert refused.value.code == "media_unreadable"


def seen(*boxes: tuple[float, float, float, float], score: float = 0.9) -> Found:
    return Found(np.array(boxes, dtype=np.float32).reshape(-1, 4), np.full(len(boxes), score, dtype=np.float32))


def test_a_face_is_seen_in_half_of_the_searched_frames() -> None:
    steady, glimpse = (10, 10, 50, 60), (200, 10, 240, 60)
    frames = [seen(steady), seen(glimpse), seen((14, 10, 54, 60)), seen()]
    (track,) = link(frames, FaceSearch())
    assert len(track.boxes) == 2
    assert link([seen(), seen(), seen(glimpse), seen()], FaceSearch()) == []
    assert len(link([seen(steady)], FaceSearch(samples=1))) == 1


def test_each_box_goes_to_the_nearest_face() -> None:
    # Two faces side by side, both moving right: the second comes where the first was.
    frames = [seen((shift, 0, shift + 40, 50), (shift + 60, 0, shift + 100, 50)) for shift in (0, 25, 50)]
    first, second = link(frames, FaceSearch())
    assert [[float(box[0]) for box in track.boxes] for track in (first, second)] == [[0, 25, 50], [60, 85, 110]]


def test_a_cut_to_another_face_is_another_face() -> None:
    near, far = (0, 0, 40, 50), (300, 0, 340, 50)
    tracks = link([seen(near), seen(near), seen(far), seen(far)], FaceSearch())
    assert [len(track.boxes) for track in tracks] == [2, 2]


@pytest.mark.parametrize(
    ("box", "size", "square"),
    [
        # 40 x 50 with 30 % of 50 on each side: 80, around the middle.
        ((100, 100, 140, 150), (640, 360), Square(80, 85, 80)),
        # Moved into the picture at its edges.
        ((0, 0, 40, 50), (640, 360), Square(0, 0, 80)),
        ((600, 310, 640, 360), (640, 360), Square(560, 280, 80)),
        # The margin shrinks where the picture is too small for it.
        ((100, 10, 140, 60), (640, 70), Square(85, 0, 70)),
        # A box longer than the picture is high: the rest is filled.
        ((0, 0, 100, 60), (640, 60), Square(0, -20, 100)),
    ],
)
def test_squares(box: tuple[float, float, float, float], size: tuple[int, int], square: Square) -> None:
    (track,) = link([seen(box)], FaceSearch())
    assert square_around(track, 0.3, *size) == square
    face = as_face(square, track, *size)
    assert 0 <= face.left < face.right <= 1
    assert 0 <= face.top < face.bottom <= 1
    assert face.score == pytest.approx(0.9)


def test_a_square_beyond_the_picture_repeats_its_edge() -> None:
    frame = torch.arange(12, dtype=torch.uint8).view(1, 3, 4).expand(3, 3, 4)
    cut = face_clips._cut(frame, Square(0, -1, 4))
    assert cut[0].tolist() == [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert face_clips._cut(frame, Square(1, 1, 2))[2].tolist() == [[5, 6], [9, 10]]


def test_the_model_is_the_file_that_its_page_describes() -> None:
    page = MODEL_PATH.with_name("README.md").read_text("utf-8")
    assert hashlib.sha256(MODEL_PATH.read_bytes()).hexdigest() in re.findall(r"`([0-9a-f]{64})`", page)
