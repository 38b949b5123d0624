"""Sound: its facts, and windows that hold exactly the samples they name."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import MediaLimits, SoundGeometry
from sentinel_worker.domain.windows import FrameStep, Window, WindowPolicy, plan_windows
from sentinel_worker.media.decode import DecodedClip, SkippedWindow
from sentinel_worker.media.probe import open_media
from sentinel_worker.media.sound.clips import Unheard, decode_sounds
from tests.integration.media.films import ffmpeg

LIMITS = MediaLimits()
RATE = 16_000
HALF_SECOND = SoundGeometry(samples=RATE // 2)
# In second n the pitch is 200 + 100 n hertz.
STAIRS = "aevalsrc='0.5*sin(2*PI*(200+100*floor(t))*t)':s=44100:d={seconds}"


def stairs(path: Path, *options: str, seconds: int = 6) -> Path:
    """A sound whose pitch encodes the second."""
    if not path.exists():
        ffmpeg("-f", "lavfi", "-i", STAIRS.format(seconds=seconds), *options, path)
    return path


def second_of(samples: npt.NDArray[np.float32]) -> float:
    """Return the second of `stairs` that this is."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return (float(spectrum.argmax()) * RATE / len(samples) - 200) / 100


def heard(path: Path, windows: list[Window], wanted: SoundGeometry = HALF_SECOND) -> list[DecodedClip | SkippedWindow]:
    return planned(decode_sounds(open_media(path, LIMITS), windows, wanted))


def planned(answers: Iterable[DecodedClip | SkippedWindow | Unheard]) -> list[DecodedClip | SkippedWindow]:
    """The answers, among which nothing says that more sound follows."""
    found = list(answers)
    windows = [answer for answer in found if not isinstance(answer, Unheard)]
    assert len(windows) == len(found)
    return windows


def samples_of(answer: DecodedClip | SkippedWindow) -> npt.NDArray[np.float32]:
    assert isinstance(answer, DecodedClip)
    assert answer.clip.values.dtype == np.float32
    return answer.clip.values  # type: ignore[return-value]  # checked above


FORMATS = {
    "stairs.mp3": (),
    "stairs.wav": (),
    "stairs.flac": (),
    "stairs.ogg": (),
    "stairs.opus": (),
    "stairs.aac": (),
    "stairs.m4a": (),
    "stairs.wma": (),
    "stairs.mka": (),
    "stairs.webm": (),
    "float.wav": ("-c:a", "pcm_f32le"),
    "stereo.m4a": ("-ac", "2"),
    "surround.flac": ("-ac", "6"),
    "narrow.wav": ("-ar", "8000"),
    "stairs.ts": ("-c:a", "aac"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_windows_hold_the_samples_that_they_name(media: Path, name: str) -> None:
    path = stairs(media / name, *FORMATS[name])
    facts = open_media(path, LIMITS).facts
    assert (facts.kind, facts.has_video, facts.has_audio) == ("audio", False, True)
    assert (facts.width, facts.height, facts.frames_per_second) == (0, 0, 0.0)
    assert facts.audio_seconds == facts.duration_seconds == pytest.approx(6, abs=0.12)
    assert facts.sample_rate in (8000, 44_100, 48_000)
    assert not facts.truncated
    windows = [Window(second + 0.25, second + 0.75) for second in (4, 0, 2, 5)]
    answers = heard(path, windows)
    assert [answer.index for answer in answers] == [1, 2, 0, 3]
    assert [len(samples_of(answer)) for answer in answers] == [RATE // 2] * 4
    assert [second_of(samples_of(answer)) for answer in answers] == pytest.approx([0, 2, 4, 5], abs=0.05)


def test_windows_are_exact_to_the_sample(media: Path) -> None:
    path = media / "ramp.wav"
    # Sample n has the value n / 32768, exact in 16 bit.
    ffmpeg("-f", "lavfi", "-i", "aevalsrc='n/32768':s=16000:d=2", path)
    windows = [Window(start, start + 0.01) for start in (0.0, 0.5, 0.50625, 1.99)]
    for answer in heard(path, windows, SoundGeometry(samples=160)):
        first = round(windows[answer.index].start_seconds * RATE)
        expected = np.arange(first, first + 160) / 32768
        assert np.abs(samples_of(answer) - expected).max() < 1.5 / 32768


def test_the_plan_of_a_track_fits_its_samples(media: Path) -> None:
    path = stairs(media / "stairs.m4a")
    facts = open_media(path, LIMITS).facts
    policy = WindowPolicy(frames=RATE, step=FrameStep(source_frames=1), budget=3)
    windows = plan_windows(facts.audio_seconds, RATE, policy)
    answers = heard(path, windows, SoundGeometry(samples=RATE))
    assert len(answers) == 3
    assert second_of(samples_of(answers[0])) == pytest.approx(0, abs=0.1)


def test_a_short_track_is_repeated(media: Path) -> None:
    path = media / "short.wav"
    ffmpeg("-f", "lavfi", "-i", "aevalsrc='(n+1)/400':s=16000:d=0.02", path)
    (answer,) = heard(path, [Window(0.0, 0.02)], SoundGeometry(samples=800))
    samples = samples_of(answer)
    assert np.array_equal(samples[:320], samples[320:640])
    assert np.array_equal(samples[:160], samples[640:])
    assert samples[319] == pytest.approx(0.8, abs=0.001)


def test_silence_is_skipped(media: Path) -> None:
    path = media / "pause.wav"
    quiet = "if(between(t,1,2),0.0005,0.5)*sin(2*PI*440*t)"
    ffmpeg("-f", "lavfi", "-i", f"aevalsrc='{quiet}':s=16000:d=3", path)
    windows = [Window(second + 0.1, second + 0.6) for second in range(3)]
    found = heard(path, windows)
    assert [type(answer) for answer in found] == [DecodedClip, SkippedWindow, DecodedClip]
    assert found[1] == SkippedWindow(1, "silence")
    # A sine of 0.0005 has -69 dBFS.
    assert all(
        isinstance(answer, DecodedClip) for answer in heard(path, windows, replace(HALF_SECOND, silence_dbfs=-75))
    )


def test_digital_silence(media: Path) -> None:
    path = media / "silence.flac"
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=44100:cl=stereo", "-t", "2", path)
    assert heard(path, [Window(0.0, 0.5), Window(1.0, 1.5)]) == [
        SkippedWindow(0, "silence"),
        SkippedWindow(1, "silence"),
    ]


def test_samples_that_are_no_numbers(media: Path) -> None:
    path = stairs(media / "hostile.wav", "-c:a", "pcm_f32le", "-ar", "16000")
    content = bytearray(path.read_bytes())
    for place, value in ((1000, np.nan), (1001, np.inf), (1002, 1e30)):
        content[-4 * place : -4 * place + 4] = np.float32(value).tobytes()
    path.write_bytes(content)
    (answer,) = heard(path, [Window(5.5, 6.0)])
    samples = samples_of(answer)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 1


def test_the_sound_of_a_film(media: Path) -> None:
    for name in ("talkie.mp4", "talkie.ts", "talkie.mkv"):
        path = media / name
        picture = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=6")
        sound = ("-f", "lavfi", "-i", STAIRS.format(seconds=6))
        ffmpeg(*picture, *sound, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-c:a", "aac", path)
        facts = open_media(path, LIMITS).facts
        assert (facts.kind, facts.has_audio, facts.audio_codec) == ("video", True, "aac")
        assert facts.audio_seconds == pytest.approx(6, abs=0.1)
        answers = heard(path, [Window(1.25, 1.75), Window(4.25, 4.75)])
        assert [second_of(samples_of(answer)) for answer in answers] == pytest.approx([1, 4], abs=0.05)


def test_a_song_with_a_cover_is_sound(media: Path) -> None:
    cover = media / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=32x32", "-frames:v", "1", cover)
    for name in ("covered.mp3", "covered.m4a", "covered.flac"):
        song = media / name
        sound = ("-f", "lavfi", "-i", "sine=d=1")
        ffmpeg(*sound, "-i", cover, "-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic", song)
        facts = open_media(song, LIMITS).facts
        assert (facts.kind, facts.has_video, facts.width) == ("audio", False, 0)


def test_the_true_length_counts_not_the_promised_one(media: Path) -> None:
    whole, cut = stairs(media / "promise.wav"), media / "promise-cut.wav"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    facts = open_media(cut, LIMITS).facts
    assert facts.truncated
    assert facts.audio_seconds == pytest.approx(3, abs=0.1)
    lying = media / "promise-small.wav"
    content = bytearray(whole.read_bytes())
    content[28:32] = (int.from_bytes(content[28:32], "little") * 1000).to_bytes(4, "little")
    lying.write_bytes(content)
    assert open_media(lying, LIMITS).facts.audio_seconds == pytest.approx(6, abs=0.1)


def test_a_last_packet_that_ends_before_its_sound(media: Path) -> None:
    """The last page of an Ogg file may end the sound inside a packet, whose length FFmpeg then takes for 2^32."""
    path = media / "ends-early.ogv"
    streams = [("testsrc=s=64x48:r=10:d=1",), ("sine=440:r=48000:d=1",), ("sine=880:r=48000:d=1",)]
    inputs = [option for (source,) in streams for option in ("-f", "lavfi", "-i", source)]
    ffmpeg(*inputs, "-map", "0", "-map", "1", "-map", "2", "-c:v", "libtheora", "-c:a", "libvorbis", path)
    assert open_media(path, LIMITS).facts.audio_seconds == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", ["stairs.wav", "stairs.mp3", "stairs.aac", "talkie.mp4"])
def test_sound_has_a_limit_too(media: Path, name: str) -> None:
    if name == "talkie.mp4":
        path = media / "long-sound.mp4"
        picture = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=1")
        ffmpeg(*picture, "-f", "lavfi", "-i", STAIRS.format(seconds=6), "-pix_fmt", "yuv420p", path)
    else:
        path = stairs(media / name)
    with pytest.raises(Permanent) as refused:
        open_media(path, replace(LIMITS, max_duration_seconds=5))
    assert refused.value.code == "media_too_long"
    assert refused.value.params["limit"] == 5


def test_damaged_sound(media: Path) -> None:
    path = stairs(media / "damaged.flac")
    content = bytearray(path.read_bytes())
    content[len(content) // 4 :] = bytes(len(content) - len(content) // 4)
    path.write_bytes(content)
    media_file = open_media(path, LIMITS)
    late = [Window(5.0, 5.5)]
    with pytest.raises(Permanent) as refused:
        list(decode_sounds(media_file, late, HALF_SECOND))
    assert refused.value.code == "media_unreadable"
    (answer,) = planned(decode_sounds(media_file, [Window(0.25, 0.75), *late], HALF_SECOND))
    assert second_of(samples_of(answer)) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("kind", ["aac", "flac", "mp3", "ac3"])
def test_joined_recordings_of_two_rates_are_heard_to_their_end(tmp_path: Path, kind: str) -> None:
    """FFmpeg reckons the second one's frames by the first one's rate, so that AAC ends too early."""
    parts = [stairs(tmp_path / f"{rate}.{kind}", "-ar", rate, seconds=3) for rate in ("48000", "32000")]
    path = tmp_path / f"both.{kind}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    seconds = open_media(path, LIMITS).facts.audio_seconds
    assert seconds == pytest.approx(6, abs=0.2)
    [near_end] = heard(path, [Window(5.2, 5.7)])
    assert second_of(samples_of(near_end)) == pytest.approx(2, abs=0.1)
