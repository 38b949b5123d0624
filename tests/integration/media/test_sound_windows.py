"""Every window of a sound track holds what a fresh decoder gives for it, whatever was read before."""

import subprocess
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from sentinel_worker.domain.media_facts import MediaLimits, SoundGeometry
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.decode import DecodedClip
from sentinel_worker.media.opened_media import OpenedMedia
from sentinel_worker.media.probe import open_media
from sentinel_worker.media.sound.clips import Unheard, decode_sounds
from tests.integration.media.sound_files import FILES, SECONDS
from tests.matrix import sampled

LIMITS = MediaLimits()
RATE = 16_000
# So long that no window is silent, and short enough for many.
HALF_SECOND = SoundGeometry(samples=RATE // 2, silence_dbfs=-300)
SAMPLE = (
    *("chromium.webm", "camera.mp4", "before_zero.mp4", "no_key_flags.avi", "false_length.avi", "five_frames.3gp"),
    *("alac.mka", "bits32.flac", "no_xing.mp3", "joined.webm", "lossless.wma", "truehd.mka", "f64.wav"),
)
# FFmpeg's command decodes these otherwise: it is older than PyAV's FFmpeg (5.1 plays the first AMR frame of a packet,
# has no 32-bit FLAC and loses or repeats samples where Ogg files were joined), or rounds (ADPCM).
OTHERWISE = {"five_frames.3gp", "fifty_frames.3gp", "bits32.flac", "chained.ogg", "chained.opus", "ima.wav"}

Sound = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for made sounds."""
    return tmp_path_factory.mktemp("sounds")


def made(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.exists():
        FILES[name](path)
    return path


def whole_track(path: Path) -> Sound:
    """Decode the track from its start with a decoder and a resampler of its own, and mix it to mono."""
    resampler = AudioResampler("flt", rate=RATE)
    frames: list[AudioFrame] = []
    with av.open(str(path)) as container:
        channels = container.streams.audio[0].channels
        for frame in container.decode(audio=0):
            frame.pts = None
            frames += resampler.resample(frame)
    frames += resampler.resample(None)
    interleaved = np.concatenate([frame.to_ndarray()[0].astype(np.float32) for frame in frames])
    mono: Sound = (interleaved.reshape(-1, channels) @ _weights(channels)).clip(-1, 1)
    return mono


def _weights(channels: int) -> Sound:
    """All channels count the same, except those of 5.1: front, centre, LFE and surround by ITU-R BS.775, scaled."""
    weights = np.array([0.5**0.5, 0.5**0.5, 1, 0, 0.5, 0.5]) if channels == 6 else np.ones(channels)
    scaled: Sound = (weights / weights.sum()).astype(np.float32)
    return scaled


def by_ffmpegs_command(path: Path) -> Sound:
    """Decode the track with FFmpeg's command."""
    mix = f"aresample={RATE}:rematrix_maxval=1,aformat=channel_layouts=mono:sample_rates={RATE}"
    command = ["ffmpeg", "-v", "quiet", "-nostdin", "-i", str(path), "-map", "0:a", "-af", mix, "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.float32).clip(-1, 1)


def windows_of(seconds: float) -> list[Window]:
    """Windows of half a second all over the track: overlapping, out of order, the last one at its end."""
    starts = [*np.arange(0, seconds - 0.5, 0.37), 0.7, seconds - 0.5]
    return [Window(float(start), float(start) + 0.5) for start in starts[::-1]]


def heard(media: OpenedMedia, windows: list[Window]) -> dict[int, DecodedClip]:
    answers = [answer for answer in decode_sounds(media, windows, HALF_SECOND) if not isinstance(answer, Unheard)]
    starts = [windows[answer.index].start_seconds for answer in answers]
    assert starts == sorted(starts)
    return {answer.index: answer for answer in answers if isinstance(answer, DecodedClip)}


@pytest.mark.parametrize("name", sampled("formats", FILES, SAMPLE))
def test_every_window_is_what_a_fresh_decoder_gives(sounds: Path, name: str) -> None:
    path = made(sounds, name)
    media, whole = open_media(path, LIMITS), whole_track(path)
    parts = 2 if name.startswith(("joined", "chained")) else 1
    assert len(whole) / RATE == pytest.approx(parts * SECONDS - 0.51 * name.startswith("before"), abs=0.12)
    assert media.facts.audio_seconds == pytest.approx(len(whole) / RATE, abs=0.06)
    windows = windows_of(len(whole) / RATE)
    answers = heard(media, windows)
    assert len(answers) == len(windows), "a window of healthy sound is missing"
    for index, answer in answers.items():
        first = round(windows[index].start_seconds * RATE)
        expected = whole[first : first + HALF_SECOND.samples]
        assert answer.clip.heard is None or answer.clip.heard.seconds == pytest.approx(0.5, abs=0.001)
        assert np.abs(answer.clip.values[: len(expected)] - expected).max() < 1e-6
    alone = {index: heard(media, [windows[index]])[0] for index in (0, len(windows) // 2)}
    assert all(np.array_equal(answers[index].clip.values, one.clip.values) for index, one in alone.items())


@pytest.mark.parametrize("name", sampled("formats", [name for name in FILES if name not in OTHERWISE], SAMPLE[:2]))
def test_ffmpegs_command_plays_the_same(sounds: Path, name: str) -> None:
    path = made(sounds, name)
    played = by_ffmpegs_command(path)
    windows = windows_of(len(played) / RATE)
    for index, answer in heard(open_media(path, LIMITS), windows).items():
        first = round(windows[index].start_seconds * RATE)
        expected = played[first : first + HALF_SECOND.samples]
        assert np.abs(answer.clip.values[: len(expected)] - expected).max() < 0.001
