"""Clips hold the frames that their windows name, in every container."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import Clip, ClipGeometry, MediaLimits
from sentinel_worker.domain.windows import FrameStep, Window, WindowPolicy, plan_windows
from sentinel_worker.media.decode import decode_clips
from sentinel_worker.media.films.film import OpenedVideo
from sentinel_worker.media.opened_media import OpenedMedia
from sentinel_worker.media.probe import open_media
from tests.integration.media.films import Make, ffmpeg, frame_numbers, geometry

LIMITS = MediaLimits()
X265 = "crf=4:keyint=12:log-level=1"
H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "4", "-g", "12", "-bf", "3")


def clips(media: OpenedMedia, windows: list[Window], wanted: ClipGeometry) -> list[Clip]:
    return [decoded.clip for decoded in decode_clips(media, windows, wanted)]


@pytest.mark.parametrize(
    ("name", "rate", "options"),
    [
        ("stride.mp4", "25", H264),
        ("stride.mkv", "30000/1001", H264),
        ("stride.ts", "30", H264),
        ("stride.flv", "30", ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "4", "-bf", "2")),
        ("stride.wmv", "25", ("-c:v", "wmv2", "-q:v", "1")),
        ("stride.ogv", "25", ("-c:v", "libtheora", "-q:v", "10")),
        ("hevc.mp4", "30", ("-c:v", "libx265", "-pix_fmt", "yuv420p", "-x265-params", X265)),
        ("av1.mp4", "30", ("-c:v", "libaom-av1", "-cpu-used", "8", "-crf", "10", "-g", "12")),
        ("stride.avi", "24", ("-c:v", "mpeg4", "-q:v", "1")),
        ("stride.webm", "30", ("-c:v", "libvpx", "-b:v", "2M", "-auto-alt-ref", "0")),
        ("stride.mov", "60", ("-c:v", "mjpeg", "-q:v", "1", "-pix_fmt", "yuvj420p")),
    ],
)
def test_a_step_of_one_frame_hits_each_frame_once(ramp: Make, name: str, rate: str, options: tuple[str, ...]) -> None:
    media = open_media(ramp(name, *options, rate=rate), LIMITS)
    assert media.facts.frame_count == 50
    policy = WindowPolicy(frames=10, step=FrameStep(source_frames=1))
    facts = media.facts
    windows = plan_windows(facts.duration_seconds, facts.frames_per_second, policy)
    wanted = geometry(10, policy.step.seconds_at(facts.frames_per_second))
    seen = [frame_numbers(clip) for clip in clips(media, windows, wanted)]
    assert all(np.diff(numbers).tolist() == [1] * 9 for numbers in seen)
    assert {number for numbers in seen for number in numbers} == set(range(50))


def test_steps_follow_the_frames_of_a_film_that_stands_still_at_first(ramp: Make) -> None:
    still = ",setpts='PTS+gte(N,1)*20/TB'"
    path = ramp("still.mp4", *H264, "-fps_mode", "passthrough", "-enc_time_base", "1:25", filters=still)
    opened = open_media(path, LIMITS)
    assert opened.facts.planning_rate == pytest.approx(25)
    assert opened.facts.frames_per_second < 5
    windows = [Window(10.0, 10.32), Window(21.0, 21.32)]
    wanted = replace(geometry(8, 0.04), step_frames=1)
    found = [frame_numbers(clip) for clip in clips(opened, windows, wanted)]
    assert found == [list(range(8)), [25, 26, 27, 28, 29, 30, 31, 32]]


def test_frames_without_a_time_stamp_lie_between_their_neighbours(ramp: Make) -> None:
    # MPEG-PS stamps only some frames.
    path = ramp("stride.mpg", "-c:v", "mpeg2video", "-q:v", "1", "-g", "12", "-bf", "2")
    (clip,) = clips(open_media(path, LIMITS), [Window(1.6, 2.0)], geometry(10, 0.04))
    assert frame_numbers(clip) == [40, 41, 42, 43, 44, 45, 46, 47, 48, 49]


def test_every_fourth_frame_of_windows_in_any_order(ramp: Make) -> None:
    media = open_media(ramp("stride.mp4"), LIMITS)
    windows = [Window(1.0, 1.64), Window(0.2, 0.84), Window(0.4, 1.04), Window(0.2, 0.84)]
    found = {decoded.index: decoded.clip for decoded in decode_clips(media, windows, geometry(4, 0.16))}
    assert {index: frame_numbers(clip) for index, clip in found.items()} == {
        0: [25, 29, 33, 37],
        1: [5, 9, 13, 17],
        2: [10, 14, 18, 22],
        3: [5, 9, 13, 17],
    }
    assert all(found[index].window == window for index, window in enumerate(windows))
    assert found[0].values.flags.c_contiguous
    assert found[0].values.shape == (4, 3, 16, 16)
    assert found[0].values.dtype == np.uint8


def test_a_short_video_repeats_its_last_frame(ramp: Make) -> None:
    media = open_media(ramp("short.mp4", frames=5), LIMITS)
    (clip,) = clips(media, [Window(0.0, media.facts.duration_seconds)], geometry(8, 0.04))
    assert frame_numbers(clip) == [0, 1, 2, 3, 4, 4, 4, 4]


def test_a_single_frame_fills_a_clip(ramp: Make) -> None:
    media = open_media(ramp("one.mp4", frames=1), LIMITS)
    (clip,) = clips(media, [Window(0.0, media.facts.duration_seconds)], geometry(4, 0.04))
    assert frame_numbers(clip) == [0, 0, 0, 0]


def test_a_variable_frame_rate_is_read_by_time(ramp: Make, media: Path) -> None:
    varying = media / "varying.mkv"
    if not varying.exists():
        # Frames 0 to 9 stay, of the rest only every tenth.
        chosen = "select='lt(n,10)+not(mod(n,10))'"
        ffmpeg("-i", ramp("stride.mp4"), "-vf", chosen, "-vsync", "vfr", *H264, varying)
    opened = open_media(varying, LIMITS)
    assert opened.facts.frame_count == 14
    half = 0.5 / opened.facts.planning_rate
    (clip,) = clips(opened, [Window(0.0, 1.6)], geometry(8, 0.2))
    shown = [min(int((0.2 * i + half) * 25 + 1e-6), 40) for i in range(8)]
    assert frame_numbers(clip) == [number if number < 10 else number // 10 * 10 for number in shown]


def test_times_start_at_the_first_frame(ramp: Make) -> None:
    media = open_media(ramp("stride.ts", *H264, rate="30"), LIMITS)
    assert isinstance(media, OpenedVideo)
    assert media.film.times.begin_seconds > 1
    # The last window first: seeking in this container overshoots, and the decoder corrects it.
    for first in (44, 30, 11, 12, 0):
        (clip,) = clips(media, [Window(first / 30, (first + 3) / 30)], geometry(3, 1 / 30))
        assert frame_numbers(clip) == [first, first + 1, first + 2]


def test_rotation_is_applied(media: Path) -> None:
    flat, turned = media / "flat.mp4", media / "turned.mp4"
    # The left half is white, the right half black; FFmpeg's own player turns it left, white below.
    chain = "color=black:s=64x32:r=25,drawbox=x=0:y=0:w=32:h=32:color=white:t=fill"
    ffmpeg("-f", "lavfi", "-i", chain, "-frames:v", "5", *H264, flat)
    ffmpeg("-i", flat, "-c", "copy", "-metadata:s:v:0", "rotate=90", turned)
    opened = open_media(turned, LIMITS)
    assert (opened.facts.width, opened.facts.height) == (32, 64)
    (clip,) = clips(opened, [Window(0.0, 0.04)], geometry(1, 0.04))
    assert clip.values[0, 0, 2, 8] < 15
    assert clip.values[0, 0, 13, 8] > 240


def test_odd_sizes(ramp: Make) -> None:
    lossless = ("-c:v", "ffv1", "-pix_fmt", "yuv444p")
    media = open_media(ramp("odd.mkv", *lossless, size="63x47"), LIMITS)
    assert (media.facts.width, media.facts.height) == (63, 47)
    (clip,) = clips(media, [Window(0.0, 0.12)], geometry(3, 0.04))
    assert frame_numbers(clip) == [0, 1, 2]


@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
@pytest.mark.parametrize("mode", ["squash", "shortest_edge"])
def test_resizing_equals_pillow(bikes: Path, mode: str, resample: str) -> None:
    media = open_media(bikes, LIMITS)
    assert isinstance(media, OpenedVideo)
    shown = media.frames().at(30.5 / media.facts.frames_per_second)
    assert shown is not None
    full = shown.pixels.permute(1, 2, 0).contiguous().numpy()
    how = Image.Resampling.BILINEAR if resample == "bilinear" else Image.Resampling.BICUBIC
    if mode == "squash":
        wanted = ClipGeometry(1, 0.04, "squash", 112, 96, 112, 96, resample)  # type: ignore[arg-type]
        expected = np.asarray(Image.fromarray(full).resize((96, 112), how))
    else:
        wanted = ClipGeometry(1, 0.04, "shortest_edge", 112, 112, 96, 100, resample)  # type: ignore[arg-type]
        width = int(112 * 640 / 272)
        left, top = (width - 100) // 2, (112 - 96) // 2
        resized = np.asarray(Image.fromarray(full).resize((width, 112), how))
        expected = resized[top : top + 96, left : left + 100]
    (clip,) = clips(media, [Window(1.2, 1.24)], wanted)
    difference = np.abs(clip.values[0].transpose(1, 2, 0).astype(int) - expected.astype(int))
    assert difference.max() <= 1


def test_frames_that_a_truncated_file_still_has(bikes: Path, media: Path) -> None:
    whole, cut = media / "whole.mp4", media / "cut.mp4"
    ffmpeg("-i", bikes, "-c", "copy", "-movflags", "+faststart", whole)
    cut.write_bytes(whole.read_bytes()[:300_000])
    opened = open_media(cut, LIMITS)
    assert opened.facts.truncated
    assert 5 < opened.facts.duration_seconds < 7
    windows = [Window(0.0, 2.0), Window(opened.facts.duration_seconds - 2.0, opened.facts.duration_seconds)]
    assert len(clips(opened, windows, geometry(8, 0.25))) == 2


def test_damaged_frames_take_their_predecessor_and_damaged_windows_go(bikes: Path, media: Path) -> None:
    damaged = media / "damaged.mp4"
    ffmpeg("-i", bikes, "-c", "copy", "-movflags", "+faststart", damaged)
    content = bytearray(damaged.read_bytes())
    content[200_000:320_000] = bytes(120_000)
    damaged.write_bytes(content)
    opened = open_media(damaged, LIMITS)
    windows = [Window(0.0, 2.0), Window(3.0, 5.0), Window(4.6, 6.2), Window(7.0, 9.0)]
    found = {decoded.index: decoded for decoded in decode_clips(opened, windows, geometry(8, 0.2))}
    assert set(found) == {0, 1, 3}
    assert found[0].unreadable_frames == 0
    holes = found[1].unreadable_frames
    assert holes > 0
    last = found[1].clip.values
    assert (last[-1] == last[-1 - holes]).all()


def test_a_video_without_a_readable_frame_is_refused(media: Path, ramp: Make) -> None:
    garbage = media / "garbage.mp4"
    content = bytearray(ramp("fast.mp4", *H264, "-movflags", "+faststart").read_bytes())
    start = content.index(b"mdat") + 4
    content[start:] = bytes(len(content) - start)
    garbage.write_bytes(content)
    opened = open_media(garbage, LIMITS)
    with pytest.raises(Permanent) as refused:
        clips(opened, [Window(0.0, 1.0)], geometry(4, 0.2))
    assert refused.value.code == "media_unreadable"


def test_a_crop_beyond_the_picture_is_a_mistake_of_the_caller(ramp: Make) -> None:
    media = open_media(ramp("stride.mp4"), LIMITS)
    with pytest.raises(ValueError, match="crop"):
        clips(media, [Window(0.0, 1.0)], ClipGeometry(1, 0.1, "squash", 16, 16, 32, 32))
