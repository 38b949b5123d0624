"""A confined child opens only its folder and starts no thread, so all that a format needs is loaded before the fork."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from examples.samples import film_path
from sentinel_worker.domain.derived import Still
from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import FaceSearch, MediaLimits, SoundGeometry
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.pictures.formats import register_plugins
from sentinel_worker.media.zygote import Zygote
from tests.fuzz.corpus import NAMES, shared_corpus
from tests.integration.media.films import ffmpeg, geometry
from tests.integration.media.hostile import run_in
from tests.integration.media.pictures.bmp_files import FIELDS, bmp, head
from tests.integration.media.pictures.icc_profiles import rgb_profile
from tests.integration.media.pictures.png_files import Drawn, apng, plain
from tests.integration.media.pictures.seen import saved
from tests.matrix import sampled

pytestmark = pytest.mark.asyncio(loop_scope="session")

_SIZE = (64, 48)
WITHOUT_THREADS = "media without threads"
"""Name of a file whose child dies when it starts a thread."""
SAMPLE = (
    *("mp4 with sound", "mov prores", "mp4 av1", "webm with sound", "mkv with sound", "mkv hevc", "mkv ffv1"),
    *("avi with sound", "flv with sound", "wmv with sound", "mpg with sound", "ts with sound", "m2ts h264"),
    *("ogv with sound", "3gp h263", "m1v mpeg1", "ts h264 behind junk", "gif", "apng", "webp, animated"),
    *("wav", "w64", "aiff", "caf alac", "au", "flac", "mp3", "aac", "m4a alac", "opus", "ogg flac", "mka", "wma"),
    *("ac3", "eac3", "wavpack", "tta", "amr", "amr, wide band", "ape", "mpc7", "mpc8"),
)
"""Each container once, and each codec that only one has."""
Save = Callable[[Path], None]


def _file_name(name: str) -> str:
    """Return a name whose child dies of a thread; but libde265 decodes every HEIC on a thread of its own."""
    return "media" if name.startswith("hei") else WITHOUT_THREADS


def _picture(mode: str) -> Image.Image:
    rows, columns = np.mgrid[0 : _SIZE[1], 0 : _SIZE[0]]
    colours = np.stack([columns * 4, rows * 5, 255 - columns * 2], axis=2).astype(np.uint8)
    return Image.fromarray(colours).convert(mode)


def _saved(form: str, mode: str = "RGB", **options: Any) -> Save:
    return lambda path: _picture(mode).save(path, form, **options)


def _moving(form: str) -> Save:
    return lambda path: _picture("RGB").save(
        path, form, save_all=True, append_images=[_picture("L").convert("RGB")], duration=200
    )


def _cut(form: str, size: int) -> Save:
    def save(path: Path) -> None:
        _saved(form)(path)
        path.write_bytes(path.read_bytes()[:size])

    return save


def _turned(form: str) -> Save:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _saved(form, exif=exif.tobytes())


def _written(content: bytes) -> Save:
    def save(path: Path) -> None:
        path.write_bytes(content)

    return save


def _lossless(path: Path) -> None:
    source = ("-f", "lavfi", "-i", "color=red:s=64x48", "-frames:v", "1", "-pix_fmt", "bgr24")
    ffmpeg(*source, "-c:v", "ljpeg", "-strict", "-1", "-f", "mjpeg", path)


def _texts() -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", '<x:xmpmeta xmlns:x="adobe:ns:meta/"/>', zip=True)
    return texts


PICTURES: dict[str, Save] = {
    **{form.lower(): _saved(form) for form in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF")},
    **{f"{form.lower()}, moving": _moving(form) for form in ("PNG", "GIF", "WEBP", "AVIF", "MPO", "HEIF")},
    **{f"{form.lower()}, turned": _turned(form) for form in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "HEIF")},
    **{
        f"tiff, {how}": _saved("TIFF", compression=how)
        for how in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
    },
    "tiff, fax": _saved("TIFF", "1", compression="group4"),
    "tiff, 32 bit": _saved("TIFF", "F"),
    "png, 16 bit": _saved("PNG", "I;16"),
    "png, palette": _saved("PNG", "P", transparency=3),
    "png, transparent": _saved("PNG", "RGBA", pnginfo=_texts()),
    "jpeg, cmyk": _saved("JPEG", "CMYK"),
    "jpeg, progressive": _saved("JPEG", progressive=True),
    "jpeg, profile": _saved("JPEG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
    "jpeg, another profile": _saved("JPEG", icc_profile=rgb_profile(1.0)),
    "jpeg, without its end": _written(saved(_picture("RGB"), "JPEG")[:-2]),
    "jpeg, lossless": _lossless,
    "tiff, cielab": _saved("TIFF", "LAB"),
    "png, with a default image": _written(
        apng((8, 8), [Drawn(plain(8, 8, 9, 9, 9))] * 2, default=plain(8, 8, 8, 8, 8))
    ),
    "png, a wrong checksum in the pixels": _written(saved(_picture("RGB"), "PNG")[:-20] + bytes(20)),
    "bmp, palette": _saved("BMP", "P"),
    "bmp, bit fields": _written(bmp(head(40, 8, 8, 16, FIELDS), bytes(128), bytes(range(12)))),
    "ico": _saved("ICO"),
    "jpeg 2000": _saved("JPEG2000"),
    "jpeg, damaged": _cut("JPEG", 400),
    "webp, damaged": _cut("WEBP", 200),
}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small file of every container and codec."""
    return shared_corpus(tmp_path_factory)


@pytest.mark.parametrize("name", PICTURES)
async def test_a_picture_loads_nothing_and_starts_no_thread(hostile_zygote: Zygote, tmp_path: Path, name: str) -> None:
    register_plugins()
    path = tmp_path / _file_name(name)
    await asyncio.to_thread(PICTURES[name], path)
    await _nothing_is_loaded(hostile_zygote, path, damaged=name.endswith("damaged"))


@pytest.mark.parametrize("name", ["film", "film, cut", "song"])
async def test_a_film_or_a_song_loads_nothing_and_starts_no_thread(
    hostile_zygote: Zygote, tmp_path: Path, name: str
) -> None:
    path = tmp_path / WITHOUT_THREADS
    tone = ("-f", "lavfi", "-i", "sine=d=2")
    if name == "song":
        ffmpeg(*tone, "-f", "mp3", path)
    else:
        ffmpeg("-i", film_path("carphone_pristine.mp4"), *tone, "-c:v", "copy", "-t", "2", "-f", "mp4", path)
    if name == "film, cut":
        path.write_bytes(path.read_bytes()[:-20_000])
    await _nothing_is_loaded(hostile_zygote, path, damaged=name == "film, cut")


@pytest.mark.parametrize("name", sampled("formats", NAMES, SAMPLE))
async def test_a_container_and_codec_load_nothing_and_start_no_thread(
    hostile_zygote: Zygote, corpus: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    assert set(corpus) == set(NAMES)
    path = tmp_path / _file_name(name)
    path.write_bytes(corpus[name])
    await _nothing_is_loaded(hostile_zygote, path, damaged=False)


async def test_a_thread_is_noticed(hostile_zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / WITHOUT_THREADS).write_bytes(b"media")
    async with hostile_zygote.open(tmp_path / WITHOUT_THREADS, tmp_path, MediaLimits()) as child:
        with pytest.raises(Permanent, match="crashed"):
            await run_in(child, "threading.Thread(target=int).start()")


async def _nothing_is_loaded(hostile_zygote: Zygote, path: Path, *, damaged: bool) -> None:
    async with hostile_zygote.open(path, path.parent, MediaLimits()) as child:
        try:
            facts = await child.probe()
            if facts.has_video or facts.kind == "image":
                windows = [Window(0.0, 0.3)]
                _ = [clip async for clip in child.clips(windows, geometry(2, 0.1))]
                _ = [clip async for clip in child.clips(windows, geometry(2, 0.1), FaceSearch())]
                await child.derive([Still(0.0)], names=["first.webp"])
            if facts.has_audio:
                _ = [clip async for clip in child.sounds([Window(0.0, 0.3)], SoundGeometry(samples=4000))]
        except Permanent:
            assert damaged
        assert await run_in(child, "outcome = sought") == "[]"


async def test_an_import_is_noticed_and_refused(hostile_zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "media").write_bytes(b"media")
    async with hostile_zygote.open(tmp_path / "media", tmp_path, MediaLimits()) as child:
        assert await run_in(child, "import this") == "EACCES"
        assert await run_in(child, "outcome = sought") == "['this']"


async def test_the_compiler_of_torch_is_not_loaded(hostile_zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "media").write_bytes(b"media")
    async with hostile_zygote.open(tmp_path / "media", tmp_path, MediaLimits()) as child:
        assert await run_in(child, "outcome = 'torchcodec' in sys.modules, 'torch._dynamo' in sys.modules") == str(
            (True, False)
        )
