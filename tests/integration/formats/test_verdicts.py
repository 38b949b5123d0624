"""The same film in every format gets the same verdict, through the decoding child."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sentinel_worker.detectors.registry import DEMO_DETECTOR, DETECTORS
from sentinel_worker.domain.fusion import Overall
from sentinel_worker.inference.examiner import Examiner, open_examiner
from tests.integration.formats.encodings import FORMATS, encode, psnr
from tests.matrix import sampled

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILMS = ("carphone_pristine.mp4", "carphone_pristine-tampered.mp4")
REAL, FAKE = FILMS
CASES = [(name, film) for name in FORMATS for film in FILMS]
SAMPLE = [
    ("mp4 h264", REAL),
    ("mp4 h264", FAKE),
    ("webm vp9", FAKE),
    ("avi mjpeg", REAL),
    ("ts h264, one key frame", FAKE),
    ("wmv wmv2", REAL),
    ("mpg mpeg2", FAKE),
    ("m1v mpeg1", REAL),
    ("ts h264 behind junk", REAL),
    ("gif", REAL),
    ("10 bit hevc", FAKE),
    ("odd size", REAL),
    ("rotated", FAKE),
    ("variable rate", REAL),
    ("fragmented mp4 mjpeg with sound", FAKE),
    ("sound first", REAL),
]
"""Each container family, codec kind, key frame layout and way to differ from the source, once."""
GOOD_DECIBELS = 35.0
CLOSE = 0.1


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def examiner(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Examiner]:
    work = tmp_path_factory.mktemp("work")
    async with open_examiner([DETECTORS[DEMO_DETECTOR]], work, device="cpu") as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def originals(examiner: Examiner, clips: dict[str, Path]) -> dict[str, Overall]:
    return {name: (await examiner.examine(clips[name])).analysis.overall for name in FILMS}


@pytest.mark.parametrize("case", sampled("formats", CASES, SAMPLE), ids="-".join)
async def test_a_format_changes_no_verdict(
    examiner: Examiner, originals: dict[str, Overall], clips: dict[str, Path], tmp_path: Path, case: tuple[str, str]
) -> None:
    name, film = case
    path = encode(clips[film], name, tmp_path)
    answer, original = (await examiner.examine(path)).analysis.overall, originals[film]
    assert answer.fake_probability is not None
    assert original.fake_probability is not None
    decibels = psnr(path, clips[film]) if FORMATS[name].same_frames else None
    apart = abs(answer.fake_probability - original.fake_probability)
    print(f"{name:24} {film:32} {answer.verdict:5} {answer.fake_probability:.3f}, {apart:.3f} apart, PSNR {decibels}")  # noqa: T201
    assert answer.verdict == original.verdict
    if decibels is None or decibels > GOOD_DECIBELS:
        assert apart <= CLOSE


async def test_the_originals_are_told_apart(originals: dict[str, Overall]) -> None:
    assert [originals[film].verdict for film in FILMS] == ["real", "fake"]
