"""The same sound in every format is recognized, and decoded by the demuxer that its container names."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from sentinel_worker.domain.media_facts import Clip, MediaLimits, Skipped, SoundGeometry
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.containers.allowed import CONTAINERS
from sentinel_worker.media.containers.sniff import sniff
from sentinel_worker.media.zygote import Zygote
from tests.integration.formats.sounds import SAMPLE, SECONDS, SOUNDS, sound
from tests.matrix import sampled

RATE = 16_000
HALF_SECOND = SoundGeometry(samples=RATE // 2)


def decoded(path: Path) -> npt.NDArray[np.float32]:
    """All samples, by the demuxer that `sniff` leads to."""
    with path.open("rb") as file:
        found = sniff(file)
    options = {"protocol_whitelist": "file", "skip_initial_bytes": str(found.begin_bytes)}
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    with av.open(str(path), format=CONTAINERS[found.container].demuxer, options=options) as opened:
        frames = [*opened.decode(audio=0), None]
        parts = [part.to_ndarray()[0] for frame in frames for part in resampler.resample(frame)]
    return np.concatenate(parts)


def pitch(samples: npt.NDArray[np.float32]) -> float:
    """Loudest frequency, in hertz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax()) * RATE / len(samples)


@pytest.mark.parametrize("name", sampled("formats", SOUNDS, SAMPLE))
def test_a_sound_is_decoded_by_the_demuxer_of_its_container(tmp_path: Path, name: str) -> None:
    path, wanted = sound(name, tmp_path), SOUNDS[name]
    with path.open("rb") as file:
        found = sniff(file)
    assert (found.container, found.begin_bytes) == (wanted.container, len(wanted.before))
    samples = decoded(path)
    assert len(samples) / RATE == pytest.approx(SECONDS, abs=0.12)
    assert wanted.silent or float(np.abs(samples).max()) > 0.2
    if wanted.pitched:
        heard = [pitch(samples[int(at * RATE) :][: RATE // 2]) for at in (0.25, 1.25)]
        assert heard == pytest.approx([200, 300], abs=3)


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("name", sampled("formats", SOUNDS, SAMPLE))
async def test_a_sound_is_heard_behind_the_walls(zygote: Zygote, tmp_path: Path, name: str) -> None:
    path, wanted = sound(name, tmp_path), SOUNDS[name]
    windows = [Window(0.25, 0.75), Window(1.25, 1.75)]
    async with zygote.open(path, path.parent, MediaLimits()) as child:
        facts = await child.probe()
        heard = [answer async for answer in child.sounds(windows, HALF_SECOND)]
    assert (facts.kind, facts.container, facts.has_audio) == ("audio", wanted.container, True)
    assert facts.audio_seconds == pytest.approx(SECONDS, abs=0.12)
    assert not facts.truncated
    if wanted.silent:
        assert [isinstance(one, Skipped) for one in heard] == [True, True]
        return
    clips = [one for one in heard if isinstance(one, Clip)]
    assert len(clips) == len(heard) == 2
    if wanted.pitched:
        assert [pitch(one.values.astype(np.float32)) for one in clips] == pytest.approx([200, 300], abs=3)
