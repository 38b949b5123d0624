"""The same files in Chromium: what the other tests here expect is what it shows."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright

from sentinel_worker.media.pictures.animations import OpenedAnimation
from tests.acceptance.browser import missing_browser
from tests.integration.media.pictures import gif_files as gifs
from tests.integration.media.pictures import test_bmp, test_jpeg, test_png
from tests.integration.media.pictures.gif_files import BLUE, GREEN, RED, gif
from tests.integration.media.pictures.icc_profiles import SRGB, grey_profile, ink_profile, rgb_profile
from tests.integration.media.pictures.png_files import Drawn, apng, plain
from tests.integration.media.pictures.seen import Pixels, frames, opened, photograph, pixels, saved

pytestmark = [
    pytest.mark.matrix("formats"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(missing_browser() is not None, reason=str(missing_browser())),
]

SHOW = """
async ([content, type, moves]) => {
  const bytes = Uint8Array.from(atob(content), character => character.charCodeAt(0));
  const onWhite = (picture, width, height) => {
    const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d");
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    context.drawImage(picture, 0, 0);
    return [width, height, btoa(String.fromCharCode(...context.getImageData(0, 0, width, height).data))];
  };
  if (!moves) {
    const image = new Image();
    image.src = URL.createObjectURL(new Blob([bytes], {type}));
    await new Promise((shown, failed) => { image.onload = shown; image.onerror = failed; });
    return [onWhite(image, image.naturalWidth, image.naturalHeight)];
  }
  const decoder = new ImageDecoder({data: bytes, type}), found = [];
  await decoder.tracks.ready;
  await decoder.completed;
  for (let frameIndex = 0; frameIndex < decoder.tracks.selectedTrack.frameCount; frameIndex++) {
    const {image} = await decoder.decode({frameIndex});
    found.push(onWhite(image, image.displayWidth, image.displayHeight));
  }
  return found;
}
"""
TYPES = {b"\x89PNG": "image/png", b"GIF8": "image/gif", b"\xff\xd8\xff": "image/jpeg", b"BM": "image/bmp"}
PROFILES = {
    "linear": rgb_profile(1.0),
    "swapped": rgb_profile(2.2, SRGB[::-1]),
    "gamma 2.2": rgb_profile(2.2),
    "grey": grey_profile(1.0),
    "inks": ink_profile(),
}
STILLS: dict[str, bytes] = {
    **{f"png, {name}": content for name, content in test_png.SHOWN_WHOLE.items() if "between the pixels" not in name},
    **{f"bmp, {name}": content for name, content in test_bmp.TRUE_COLOUR.items()},
    **{f"bmp of few bits, {name}": content for name, (content, _) in test_bmp.FEW_BITS.items()},
    **{
        f"jpeg, {name}": test_jpeg.with_exif(tiff) for name, tiff in (test_jpeg.TURNS | test_jpeg.DOES_NOT_TURN).items()
    },
    **{
        f"{mode} with a profile, {name}": saved(photograph().convert(mode), "JPEG", quality=95, icc_profile=profile)
        for mode in ("RGB", "L", "CMYK")
        for name, profile in PROFILES.items()
    },
}
UNLIKE_CHROMIUM = {"bmp, without a place of its pixels", "bmp, without the padding of the last row"}
"""Chromium reads the first from the start of the file, and does not show the last row of the second."""
SCREEN = (16, 12)
HALF = plain(6, 6, 0, 255, 0, 128)
MOVING: dict[str, bytes] = {
    **{
        f"apng, {after}, {over}": apng(
            SCREEN,
            [
                Drawn(plain(*SCREEN, 255, 0, 0)),
                Drawn(HALF, 2, 3, after=after, over=over),
                Drawn(plain(2, 2, 0, 0, 255), 12, 9),
            ],
        )
        for after in (0, 1, 2)
        for over in (False, True)
    },
    "apng, a default image": apng(SCREEN, [Drawn(HALF, 1, 1), Drawn(HALF, 5, 5)], default=plain(*SCREEN, 255, 0, 0)),
    **{
        f"gif, {after}": gif(
            *SCREEN,
            [
                gifs.Drawn(GREEN, 8, 6, 4, 3, after=after),
                gifs.Drawn(BLUE, 6, 6, 4, 3, after=after, transparent=RED),
                gifs.Drawn(RED, 2, 2),
            ],
        )
        for after in (0, 2, 3)
    },
    "gif, beyond the screen": gif(1, 1, [gifs.Drawn(GREEN, 16, 12), gifs.Drawn(BLUE, 30, 30, 8, 6)]),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page() -> AsyncIterator[Page]:
    """An empty page."""
    async with async_playwright() as playwright:
        # Chromium's sandbox does not work as root.
        chromium = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        opened_page = await chromium.new_page()
        # A secure context, which the decoder needs.
        await opened_page.route("**/*", lambda route: route.fulfill(body="<html></html>", content_type="text/html"))
        await opened_page.goto("http://localhost/")
        yield opened_page
        await chromium.close()


async def shown(page: Page, content: bytes, *, moves: bool) -> list[Pixels]:
    """What Chromium shows, each picture RGB on white."""
    kind = next(kind for magic, kind in TYPES.items() if content.startswith(magic))
    found: list[Any] = await page.evaluate(SHOW, [base64.b64encode(content).decode(), kind, moves])
    return [
        np.frombuffer(base64.b64decode(rgba), np.uint8).reshape(height, width, 4)[..., :3]
        for width, height, rgba in found
    ]


@pytest.mark.parametrize("name", sorted(STILLS.keys() - UNLIKE_CHROMIUM))
async def test_a_picture_is_what_chromium_shows(page: Page, tmp_path: Path, name: str) -> None:
    media = await asyncio.to_thread(opened, tmp_path, STILLS[name])
    [theirs] = await shown(page, STILLS[name], moves=False)
    ours = pixels(media)
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).mean() < 1


@pytest.mark.parametrize("name", MOVING)
async def test_an_animation_is_what_chromium_plays(page: Page, tmp_path: Path, name: str) -> None:
    media = await asyncio.to_thread(opened, tmp_path, MOVING[name])
    assert isinstance(media, OpenedAnimation)
    theirs = await shown(page, MOVING[name], moves=True)
    ours = frames(media)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one is not None
        assert np.abs(one.astype(int) - other).max() <= 1
