"""Films that no browser plays: Chromium plays their previews."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from sentinel_worker.media.zygote import Zygote
from tests.acceptance.browser import missing_browser
from tests.integration.media.films import ffmpeg
from tests.integration.media.previews.made import preview
from tests.integration.players.answers import distance
from tests.integration.players.browser import AskBrowser, browser

pytestmark = pytest.mark.asyncio(loop_scope="session")

FILMS = {
    "film.avi": ("-c:v", "mjpeg", "-q:v", "2", "-c:a", "pcm_s16le"),
    "film.mkv": ("-c:v", "libx265", "-x265-params", "log-level=none", "-crf", "12", "-c:a", "libopus"),
}
COLOURS = {0.5: (191, 64, 64), 1.5: (64, 64, 191)}
"""Colour of each second, not as bright as possible, so that a wrong range or matrix of colours shows."""
SOURCE = "color=0xBF4040:s=320x240:r=25:d=1[a];color=0x4040BF:s=320x240:r=25:d=1[b];[a][b]concat"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chromium(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Path, AskBrowser]]:
    if (missing := missing_browser()) is not None:
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("previews")
    (folder / "files").mkdir()
    async with browser(folder / "site", folder / "files") as ask:
        yield folder / "files", ask


@pytest.mark.parametrize("name", FILMS)
async def test_chromium_plays_the_preview(
    zygote: Zygote, chromium: tuple[Path, AskBrowser], tmp_path: Path, name: str
) -> None:
    files, ask = chromium
    source = ("-f", "lavfi", "-i", SOURCE, "-f", "lavfi", "-i", "sine=f=440:d=2")
    ffmpeg(*source, *FILMS[name], "-pix_fmt", "yuv420p", files / name)
    assert not (await ask(name, (0.5,), 0.0, False)).shown, "this browser plays the film itself"
    (files / f"{name}.mp4").write_bytes((await preview(zygote, files / name, tmp_path)).read_bytes())
    seen = await ask(f"{name}.mp4", tuple(COLOURS), 0.0, True)
    assert (seen.width, seen.height) == (320, 240)
    assert seen.hertz == pytest.approx(440, abs=15)
    assert seen.file_seconds == pytest.approx(2.0, abs=0.1)
    for moment, colour in COLOURS.items():
        expected = np.broadcast_to(np.array(colour, np.uint8), seen.shown[moment].shape)
        assert distance(seen.shown[moment], expected) < 4
