"""Sound with gaps, damage, odd channels or too little of it: what is heard, and what the answer says about it."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from av.audio.frame import AudioFrame

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import Heard, MediaLimits, SoundGeometry
from sentinel_worker.domain.windows import FrameStep, Window, WindowPolicy, plan_windows
from sentinel_worker.media.containers.allowed import CONTAINERS
from sentinel_worker.media.decode import DecodedClip, SkippedWindow
from sentinel_worker.media.opened_media import OpenedMedia, OpenedSound, SoundTrack
from sentinel_worker.media.probe import open_media
from sentinel_worker.media.protocol import ProbedFacts
from sentinel_worker.media.scan.media_file import MediaFile
from sentinel_worker.media.sound.clips import Unheard, decode_sounds
from sentinel_worker.media.sound.decoding import SoundPass, Stretch
from sentinel_worker.media.sound.windows import cut_windows
from tests.integration.media.films import ffmpeg
from tests.integration.media.sound_files import by_ffmpeg, restamped, wav

RATE = 16_000
SECOND = SoundGeometry(samples=RATE)

Samples = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for made sounds."""
    return tmp_path_factory.mktemp("sounds")


def opened(path: Path, container: str) -> OpenedMedia:
    """Open a file that `open_media` refuses or finds shorter, because what is tested comes after it."""
    size = path.stat().st_size
    facts = ProbedFacts("audio", container, 0.0, size, has_video=False, has_audio=True, audio_codec="odd")
    return OpenedSound(path, facts, sound=SoundTrack(MediaFile(path, CONTAINERS[container].demuxer), 0))


def heard(
    media: OpenedMedia | Path, *starts: float, geometry: SoundGeometry = SECOND
) -> list[DecodedClip | SkippedWindow]:
    """Answers about windows of a second that begin at `starts`."""
    if isinstance(media, Path):
        media = open_media(media, MediaLimits())
    answers = decode_sounds(media, [Window(start, start + 1) for start in starts], geometry)
    return [answer for answer in answers if not isinstance(answer, Unheard)]  # `opened` knows no length


def clips(answers: list[DecodedClip | SkippedWindow]) -> dict[int, tuple[Samples, Heard | None]]:
    found = [answer for answer in answers if isinstance(answer, DecodedClip)]
    return {clip.index: (clip.clip.values, clip.clip.heard) for clip in found}  # type: ignore[misc]  # sound is float32


def tones(*amplitudes: float, rate: int = RATE, seconds: float = 3, hertz: float = 440) -> npt.NDArray[np.int16]:
    """A sine of these amplitudes on as many channels; a negative one is inverted."""
    sine = np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    return np.round(np.outer(sine, amplitudes) * 32767).astype(np.int16)


# Stamps that players do not follow


@pytest.mark.parametrize(
    ("name", "restamp"),
    [
        ("pause.mka", lambda number, stamp: stamp + 3000 * (stamp >= 1500)),
        ("pauses.mka", lambda number, stamp: stamp + 400 * (number // 20)),
        ("small-gaps.mka", lambda number, stamp: 2 * stamp),
        ("late.mka", lambda number, stamp: stamp + 10_000 * (number > 0)),
    ],
)
def test_pauses_of_the_time_stamps_are_not_played(sounds: Path, name: str, restamp: Callable[[int, int], int]) -> None:
    path, plain = sounds / name, sounds / "no_pause.mka"
    restamped(restamp, "-c:a", "pcm_s16le")(path)
    by_ffmpeg("-c:a", "pcm_s16le")(plain)
    media, expected = open_media(path, MediaLimits()), clips(heard(plain, 0.0, 1.0, 2.0))
    assert media.facts.audio_seconds == pytest.approx(3, abs=0.001)
    found = clips(heard(media, 0.0, 1.0, 2.0))
    assert len(found) == 3
    for index, (samples, said) in found.items():
        assert said is None
        assert np.array_equal(samples, expected[index][0])


def test_a_jump_of_the_clock_in_a_broadcast_is_no_pause(sounds: Path) -> None:
    path, plain = sounds / "jump.ts", sounds / "plain-jump.ts"
    restamped(lambda _, stamp: stamp + 90_000 * 500 * (stamp > 90_000 * 3), "-c:a", "mp2")(path)
    answers, expected = (clips(heard(opened(each, "mpeg-ts"), 0.0, 1.0, 2.0)) for each in (path, plain))
    assert len(answers) == 3
    for index, (samples, said) in answers.items():
        assert said is None
        # FFmpeg takes another decoder for the copy.
        assert np.abs(samples - expected[index][0]).max() < 0.0001


def test_the_format_may_change_in_between(sounds: Path) -> None:
    path, parts = sounds / "rates.aac", (sounds / "stereo.aac", sounds / "mono.aac")
    ffmpeg("-f", "lavfi", "-i", "sine=440:r=44100:d=3", "-ac", "2", parts[0])
    ffmpeg("-f", "lavfi", "-i", "sine=440:r=22050:d=3", "-ac", "1", parts[1])
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    found = clips(heard(opened(path, "aac"), 0.5, 2.5, 4.5))
    assert [said for _, said in found.values()] == [None] * 3
    for samples, _ in found.values():
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(RATE)))
        assert spectrum.argmax() == pytest.approx(440, abs=1)


# Damage


def damaged_mp3(path: Path, begin: float, end: float) -> Path:
    """MP3 of which the frames from `begin` to `end` (seconds) keep their headers and lose their content."""
    ffmpeg(
        *("-f", "lavfi", "-i", "sine=440:r=48000:d=3", "-b:a", "64k", "-write_xing", "0"),
        *("-id3v2_version", "0", "-reservoir", "0", path),
    )
    content = bytearray(path.read_bytes())
    # 64 kbit/s at 48 kHz: 192 bytes for each 24 ms.
    for number in range(round(begin / 0.024), round(end / 0.024)):
        content[192 * number + 4 : 192 * (number + 1)] = b"\xff" * 188
    path.write_bytes(content)
    return path


def test_packets_that_cannot_be_decoded_are_stepped_over_and_counted(sounds: Path) -> None:
    path = damaged_mp3(sounds / "few.mp3", 1.2, 1.44)
    found = clips(heard(path, 0.0, 1.0, 2.0 - 0.02))
    assert found[0][1] is None
    samples, said = found[1]
    assert said is not None
    assert said.seconds == pytest.approx(0.76, abs=0.03)
    assert not samples[int(0.25 * RATE) : int(0.4 * RATE)].any()
    assert np.abs(samples[int(0.5 * RATE) :]).max() == pytest.approx(0.125, abs=0.01)
    assert found[2][1] is None, "what follows has lost its place"


def test_a_window_of_which_more_than_half_is_lost_is_damaged(sounds: Path) -> None:
    path = damaged_mp3(sounds / "more.mp3", 1.0, 1.6)
    assert set(clips(heard(path, 0.0, 1.0, 1.5))) == {0, 2}
    with pytest.raises(Permanent) as refused:
        heard(path, 1.0)
    assert refused.value.code == "media_unreadable"


def test_much_that_is_lost_between_windows_is_said(sounds: Path) -> None:
    """Packets that do not play stretch the time on which windows are planned."""
    windows, lost = [Window(0.0, 0.5), Window(2.4, 2.9)], []
    for end in (1.8, 2.2):
        media = open_media(damaged_mp3(sounds / f"until-{end}.mp3", 1.0, end), MediaLimits())
        answers = list(decode_sounds(media, windows, SoundGeometry(RATE // 2)))
        assert [answer.index for answer in answers if isinstance(answer, DecodedClip)] == [0, 1]
        lost += [answer.seconds for answer in answers if isinstance(answer, Unheard)]
    assert lost == [pytest.approx(1.2, abs=0.1)]


def test_a_codec_without_a_decoder_is_named(sounds: Path) -> None:
    path = sounds / "unknown.mp4"
    by_ffmpeg("-c:a", "aac")(path)
    path.write_bytes(path.read_bytes().replace(b"mp4a", b"ac-4").replace(b"esds", b"free"))
    with pytest.raises(Permanent) as refused:
        heard(opened(path, "mp4"), 0.0)
    assert refused.value.code == "media_not_supported"
    assert refused.value.message == "The sound's codec (odd) is not supported."


def test_a_file_that_cannot_be_opened_again(sounds: Path) -> None:
    path = sounds / "nothing.mp4"
    path.write_bytes(b"\0\0\0\x14ftypisom\0\0\0\0isom")
    with pytest.raises(Permanent) as refused:
        heard(opened(path, "mp4"), 0.0)
    assert refused.value.code == "media_unreadable"


# Too little sound


def test_what_a_track_is_too_short_for_is_repeated_and_said(sounds: Path) -> None:
    path = sounds / "short.wav"
    wav(path, tones(0.5, seconds=0.3), RATE)
    (answer,) = decode_sounds(open_media(path, MediaLimits()), [Window(0, 0.3)], SECOND)
    assert isinstance(answer, DecodedClip)
    assert answer.clip.heard == Heard(0.3)
    assert np.array_equal(answer.clip.values[:4800], answer.clip.values[4800:9600])


@pytest.mark.parametrize("kind", ["wav", "flac", "aiff", "au", "w64", "caf", "mp3"])
def test_a_single_sample_is_silence_and_no_damage(sounds: Path, kind: str) -> None:
    path = sounds / f"one.{kind}"
    ffmpeg("-f", "lavfi", "-i", "aevalsrc=0.5:s=48000:d=1,atrim=end_sample=1", path)
    media = open_media(path, MediaLimits())
    (window,) = plan_windows(media.facts.audio_seconds, RATE, WindowPolicy(RATE, FrameStep(source_frames=1)))
    answers = list(decode_sounds(media, [window], SECOND))
    if kind not in ("mp3", "w64"):  # an encoder and a container that add some
        assert media.facts.audio_seconds == pytest.approx(1 / 48_000)
        assert answers == [SkippedWindow(0, "silence")]
    assert len(answers) == 1


def test_a_millisecond_is_repeated_and_said(sounds: Path) -> None:
    path = sounds / "millisecond.wav"
    wav(path, tones(0.5, rate=48_000, seconds=0.001), 48_000)
    (answer,) = decode_sounds(open_media(path, MediaLimits()), [Window(0, 0.001)], SECOND)
    assert isinstance(answer, DecodedClip)
    assert answer.clip.heard == Heard(0.001)
    assert np.abs(answer.clip.values[:16] - tones(0.5, seconds=0.001)[:, 0] / 32768).max() < 0.1


def test_a_window_that_overhangs_the_track_a_little_begins_earlier(sounds: Path) -> None:
    path = sounds / "longer.wav"
    wav(path, tones(0.5, seconds=2), RATE)
    whole, overhanging = (clips(heard(opened(path, "wav"), start))[0] for start in (1.0, 1.09))
    assert overhanging[1] is None, "nothing is repeated"
    assert np.array_equal(overhanging[0], whole[0])


def test_a_window_that_overhangs_the_track_says_so(sounds: Path) -> None:
    path = sounds / "overhanging.wav"
    wav(path, tones(0.5, seconds=2), RATE)
    found = clips(heard(path, 1.0, 1.25, 1.75))
    assert set(found) == {0, 1}, "half a window has to be there"
    assert found[0][1] is None
    samples, said = found[1]
    assert said == Heard(0.75)
    assert np.array_equal(samples[:4000], samples[12_000:])


# Channels


def test_channels_that_cancel_each_other_out(sounds: Path) -> None:
    path = sounds / "antiphase.wav"
    for amplitudes, channel in (((0.4, -0.41), 1), ((0.4, -0.46), 2)):
        wav(path, tones(*amplitudes), RATE)
        samples, said = clips(heard(path, 1.0))[0]
        assert said == Heard(channel=channel)
        assert np.abs(samples).max() == pytest.approx(abs(amplitudes[channel - 1]), abs=0.001)


@pytest.mark.parametrize("amplitudes", [(0.4, 0.4), (0.4, 0.0), (0.4, -0.2), (0.9, 0.9)])
def test_other_channels_are_mixed_and_never_exceed_full_scale(sounds: Path, amplitudes: tuple[float, ...]) -> None:
    path = sounds / f"{amplitudes}.wav"
    wav(path, tones(*amplitudes), RATE)
    samples, said = clips(heard(path, 1.0))[0]
    assert said is None
    assert np.abs(samples).max() == pytest.approx(sum(amplitudes) / 2, abs=0.001)


@pytest.mark.parametrize(
    ("channels", "mask"), [(9, None), (12, None), (12, 0), (10, 0x3FF), (2, 0x18), (24, 0xFFFFFF), (64, None)]
)
def test_many_and_unusual_channels_are_mixed(sounds: Path, channels: int, mask: int | None) -> None:
    path = sounds / f"{channels}-{mask}.wav"
    wav(path, tones(*[0.5] * channels), RATE, mask)
    samples, said = clips(heard(path, 1.0))[0]
    assert said is None
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.001)


def test_the_only_channel_with_sound_of_many_is_scored(sounds: Path) -> None:
    path = sounds / "one-of-twelve.wav"
    wav(path, tones(*[0.0] * 6, 0.5, *[0.0] * 5), RATE)
    samples, said = clips(heard(path, 1.0))[0]
    assert said == Heard(channel=7)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.001)


def test_more_channels_than_can_be_mixed(sounds: Path) -> None:
    path = sounds / "65.wav"
    wav(path, tones(*[0.5] * 65, seconds=1), RATE)
    with pytest.raises(Permanent) as refused:
        heard(opened(path, "wav"), 0.0)
    assert (refused.value.code, refused.value.params) == ("media_not_supported", {"limit": 64})


# One pass


def counted(path: Path, demuxer: str, taken: Callable[[], object]) -> Iterator[tuple[Stretch, AudioFrame]]:
    with SoundPass(MediaFile(path, demuxer), 0, None) as sound:
        for pair in sound.frames():
            taken()
            yield pair


def test_decoding_ends_with_the_last_window(sounds: Path) -> None:
    path = sounds / "long.flac"
    ffmpeg("-f", "lavfi", "-i", "sine=440:r=48000:d=60", path)
    frames, taken = count(), []
    windows = [Window(start, start + 1) for start in (1.0, 3.0)]
    for cut in cut_windows(counted(path, "flac", lambda: taken.append(next(frames))), windows, SECOND):
        # A frame has 4,608 samples, and the resampler looks a tenth of a second ahead.
        assert len(taken) * 4608 / 48_000 < windows[cut.index].end_seconds + 0.2
    assert len(taken) < 50
