"""The length of a sound track is what plays, whatever its time stamps say."""

from dataclasses import replace
from pathlib import Path

import av
import pytest

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import MediaLimits, SoundGeometry
from sentinel_worker.domain.windows import FrameStep, WindowPolicy, plan_windows
from sentinel_worker.media.decode import DecodedClip
from sentinel_worker.media.probe import open_media
from sentinel_worker.media.sound.clips import Unheard, decode_sounds
from tests.integration.media.films import ffmpeg
from tests.integration.media.sound_files import retimed, with_longer_packets
from tests.matrix import sampled

LIMITS = MediaLimits()
RATE = 16_000
SECOND = SoundGeometry(RATE)
SECONDS = 8.0
RETIMED = {
    "fast.mkv": (10, ("-c:a", "flac")),
    "fast-pcm.mkv": (10, ("-c:a", "pcm_s16le")),
    "fast.webm": (10, ("-c:a", "libopus")),
    "fast-vorbis.webm": (10, ("-c:a", "libvorbis")),
    "fast.wma": (10, ("-c:a", "wmav2")),
    "fast.mp4": (1.8, ("-c:a", "aac")),
    "fast.m4a": (1.8, ("-c:a", "alac")),
    "fast.flv": (1.8, ("-c:a", "mp3", "-ar", "44100")),
    "fast.ts": (1.8, ("-c:a", "aac")),
    "a-little-fast.mp4": (1.1, ("-c:a", "aac")),
    "slow.mp4": (0.5, ("-c:a", "aac")),
    "slow.webm": (0.5, ("-c:a", "libopus")),
    "a-little-slow.mkv": (0.9, ("-c:a", "flac")),
}
"""How many times as fast as the samples the stamps run, and the codec."""
SAMPLE = ("fast.mkv", "fast.wma", "fast.mp4", "slow.mp4", "a-little-slow.mkv")


def played_seconds(path: Path) -> float:
    """Length of what a decoder gives."""
    with av.open(str(path)) as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


@pytest.mark.parametrize("name", sampled("formats", RETIMED, SAMPLE))
def test_the_samples_decide_and_not_the_stamps(tmp_path: Path, name: str) -> None:
    speed, options = RETIMED[name]
    path = tmp_path / name
    retimed(SECONDS, speed, *options)(path)
    media = open_media(path, LIMITS)
    assert media.facts.audio_seconds == pytest.approx(played_seconds(path), abs=0.001)
    assert media.facts.audio_seconds == pytest.approx(SECONDS, abs=0.1)
    windows = plan_windows(media.facts.audio_seconds, RATE, WindowPolicy(RATE, FrameStep(source_frames=1), budget=20))
    answers = list(decode_sounds(media, windows, SECOND))
    assert len(answers) == len(windows)
    assert all(isinstance(answer, DecodedClip) and answer.clip.heard is None for answer in answers)


def test_stamps_that_nearly_agree_are_believed(tmp_path: Path) -> None:
    """A track is not decoded twice for the sake of a tenth of a second."""
    path = tmp_path / "nearly.mkv"
    retimed(SECONDS, 1.01, "-c:a", "flac")(path)
    media = open_media(path, LIMITS)
    assert media.facts.audio_seconds == pytest.approx(SECONDS / 1.01, abs=0.01)


@pytest.mark.parametrize("stamp", ["PTS+3e9/TB", "gte(N\\,50)*2e9/TB+PTS"])
def test_sound_at_times_that_nobody_lives_to_see_is_heard(tmp_path: Path, stamp: str) -> None:
    path = tmp_path / "far.mkv"
    pictures, sound = ("-f", "lavfi", "-i", "color=black:s=64x48:r=10:d=2"), ("-f", "lavfi", "-i", "sine=440:d=2")
    ffmpeg(*pictures, *sound, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-bsf:a", f"setts=ts={stamp}", path)
    facts = open_media(path, LIMITS).facts
    assert (facts.has_video, facts.has_audio) == (True, True)
    assert facts.audio_seconds == pytest.approx(2, abs=0.1)


def test_sound_that_plays_too_long_is_refused_whatever_its_stamps_say(tmp_path: Path) -> None:
    path = tmp_path / "long.mkv"
    retimed(SECONDS, 10, "-c:a", "flac")(path)
    with pytest.raises(Permanent) as refused:
        open_media(path, replace(LIMITS, max_duration_seconds=3))
    assert refused.value.code == "media_too_long"
    assert open_media(path, replace(LIMITS, max_duration_seconds=9)).facts.audio_seconds == pytest.approx(8, abs=0.1)


def test_what_plays_behind_the_length_is_said(tmp_path: Path) -> None:
    """The first packets agree with the stamps, and the later ones are longer."""
    path = tmp_path / "lengthening.mka"
    with_longer_packets(path)
    media, played = open_media(path, LIMITS), played_seconds(path)
    said = media.facts.audio_seconds
    assert said < 2 < played - 4
    windows = plan_windows(said, RATE, WindowPolicy(RATE, FrameStep(source_frames=1)))
    *clips, rest = decode_sounds(media, windows, SECOND)
    assert len(clips) == len(windows)
    assert isinstance(rest, Unheard)
    assert rest.seconds == pytest.approx(played - said, abs=0.001)
