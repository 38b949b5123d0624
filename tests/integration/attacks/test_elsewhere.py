"""Uploads that point a decoder elsewhere: the target gets no request, the neighbour's file is not opened."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.zygote import Zygote
from tests.integration.attacks import elsewhere
from tests.integration.attacks.conftest import Attack, Result, previewed
from tests.integration.attacks.target import Target

pytestmark = pytest.mark.asyncio(loop_scope="session")

Film = Callable[..., bytes]


@pytest.fixture
def attack(attack: Attack, zygote: Zygote, tmp_path: Path) -> Attack:
    """Send the upload also through a child that makes a preview."""

    async def send(content: bytes, limits: MediaLimits | None = None) -> Result:
        result = await attack(content, limits)
        made = await previewed(zygote, tmp_path / "request-a" / "media")
        assert made is not None or result.error is not None or (result.facts and result.facts.kind == "image")
        return result

    return send


PLACES = ("a URL", "a file", "a relative path")
BEFORE = tuple(elsewhere.BEFORE)
PREFIXES = ("", '<?xml version="1.0"?>\n', " \n", "\ufeff", "<!--free-->", "<!--wide-->")
SCRIPTS = tuple(
    (text, found, encoding)
    for text, found in (("HLS", "an HLS playlist"), ("FFCONCAT", "a concat script"))
    for encoding in ("utf-8", "utf-8-sig", "utf-16")
)


def crossed(others: Sequence[Any]) -> list[ParameterSet]:
    """Pair each of `others` with each place. By default each place and each of `others` appears once."""
    rest = pytest.mark.matrix("media")
    return [
        pytest.param(place, other, marks=[] if PLACES[0] == place or others[0] == other else rest)
        for place in PLACES
        for other in others
    ]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, target: Target, neighbour: Path) -> str:
    """The target of the upload's reference."""
    places = {
        "a URL": f"{target.url}/a.mp4",
        "a file": f"file://{neighbour}",
        "a relative path": "../request-b/media.mp4",
    }
    return places[request.param]


@pytest.mark.parametrize(("place", "prefix"), crossed(PREFIXES), indirect=["place"])
async def test_dash(attack: Attack, place: str, prefix: str) -> None:
    code, sentence = (await attack(elsewhere.dash(place, prefix))).refusal
    assert code == "media_not_supported"
    assert sentence.endswith("it looks like a DASH manifest.")


async def test_dash_that_looks_like_a_transport_stream(attack: Attack, place: str) -> None:
    packets = "<!--G" + ("x" * 191 + "G") * 5 + "-->"
    code, sentence = (await attack(elsewhere.dash(place, packets))).refusal
    assert code == "media_not_supported"
    assert sentence.endswith("it looks like a DASH manifest.")


@pytest.mark.parametrize(("place", "script"), crossed(SCRIPTS), indirect=["place"])
async def test_playlists(attack: Attack, place: str, script: tuple[str, str, str]) -> None:
    text, found, encoding = script
    content = getattr(elsewhere, text).format(place=place).encode(encoding)
    code, sentence = (await attack(content)).refusal
    assert (code, sentence) == (
        "media_not_supported",
        f"The file is not media that can be analyzed: it looks like {found}.",
    )


async def test_a_playlist_behind_a_tag(attack: Attack, place: str) -> None:
    code, sentence = (await attack(elsewhere.behind_a_tag(elsewhere.HLS.format(place=place)))).refusal
    assert code == "media_not_supported"
    assert "an HLS playlist" in sentence


@pytest.mark.parametrize("before", BEFORE)
async def test_a_playlist_behind_several_tags_and_junk(attack: Attack, place: str, before: str) -> None:
    content = elsewhere.BEFORE[before] + elsewhere.HLS.format(place=place).encode()
    assert (await attack(content)).refusal[0] == "media_not_supported"


@pytest.mark.parametrize(("place", "start"), crossed(tuple(elsewhere.STARTS)), indirect=["place"])
@pytest.mark.parametrize("text", ["dash", "imf", "sdp"])
async def test_a_manifest_behind_the_first_bytes_of_a_container(
    attack: Attack, target: Target, place: str, start: str, text: str
) -> None:
    """FFmpeg searches for these anywhere in the first bytes.

    Some demuxers play any bytes as sound; that does no harm.
    """
    manifests = {
        "dash": elsewhere.dash(place),
        "imf": elsewhere.imf(place),
        "sdp": elsewhere.sdp(target.port, "\n"),
    }
    result = await attack(elsewhere.STARTS[start] + manifests[text] + bytes(4000))
    if result.error is None:
        assert result.facts is not None
        assert (result.facts.kind, result.facts.container) == ("audio", start)
    else:
        assert result.refusal[0] in ("media_not_supported", "media_unreadable", "media_truncated", "no_tracks")


@pytest.mark.parametrize("stream", ["sound", "film"])
async def test_a_manifest_in_the_junk_before_a_stream(attack: Attack, film: Film, place: str, stream: str) -> None:
    """The stream is analyzed, or FFmpeg's own reading of the file refuses it; the manifest is not followed."""
    if stream == "sound":
        content = film("-f", "lavfi", "-i", "sine=d=1", "-vn", "-id3v2_version", "0", "-f", "mp3")
    else:
        content = film("-pix_fmt", "yuv420p", "-f", "mpegts")
    result = await attack(b"\xff\x01\xfe" + elsewhere.dash(place) + bytes(10) + content)
    if result.error is None:
        assert result.facts is not None
        assert result.facts.container == {"sound": "mp3", "film": "mpeg-ts"}[stream]
    else:
        assert result.refusal[0] in ("media_not_supported", "media_unreadable")


async def test_svg(attack: Attack, place: str) -> None:
    assert (await attack(elsewhere.svg(place))).refusal[1].endswith("it looks like an SVG drawing.")


async def test_xml_bomb(attack: Attack) -> None:
    assert (await attack(elsewhere.XML_BOMB.encode())).refusal[1].endswith("it looks like an SVG drawing.")


async def test_a_text_in_utf_16_is_not_an_mp3(attack: Attack) -> None:
    """`ff fe 20` is both a valid MPEG audio frame header and the start of a text."""
    code, sentence = (await attack(codecs.BOM_UTF16_LE + " #EXTM3U".encode("utf-16-le"))).refusal
    assert (code, sentence.endswith("an HLS playlist.")) == ("media_not_supported", True)


@pytest.mark.parametrize("prefix", ["", "FLV\x01\n", "G\x01" + "G" * 1200 + "\n"])
async def test_sdp(attack: Attack, target: Target, prefix: str) -> None:
    code, sentence = (await attack(elsewhere.sdp(target.port, prefix))).refusal
    assert code == "media_not_supported"
    assert sentence.endswith(("an SDP description.", "reads like sdp."))


async def test_media_in_another_file(attack: Attack, film: Film, neighbour: Path) -> None:
    content = elsewhere.external_media(film("-c:v", "mjpeg", "-f", "mp4"), str(neighbour))
    result = await attack(content)
    assert result.facts is None or result.facts.width == 64


async def test_sound_in_another_file(attack: Attack, film: Film, place: str) -> None:
    """PyAV decodes it, with another FFmpeg than the one that decodes films."""
    sound = ("-f", "lavfi", "-i", "sine=d=1", "-vn")
    result = await attack(elsewhere.external_media(film(*sound, "-f", "ipod"), place))
    assert result.facts is None or result.facts.kind == "audio"


async def test_a_reference_movie(attack: Attack, place: str) -> None:
    assert (await attack(elsewhere.reference_movie(place))).refusal[0] in ("media_unreadable", "no_tracks")


async def test_linked_segments(attack: Attack, film: Film, place: str) -> None:
    content = film("-pix_fmt", "yuv420p", "-f", "matroska", "-live", "1")
    result = await attack(elsewhere.linked_segments(content, place))
    assert result.facts is not None
    assert (result.facts.width, result.facts.frame_count) == (64, 10)


async def test_an_attachment(attack: Attack, film: Film, tmp_path: Path, place: str) -> None:
    playlist = tmp_path / "font.ttf"
    playlist.write_text(elsewhere.HLS.format(place=place), "utf-8")
    attached = ("-attach", str(playlist), "-metadata:s:t", "mimetype=application/vnd.apple.mpegurl")
    result = await attack(film("-pix_fmt", "yuv420p", *attached, "-f", "matroska"))
    assert result.facts is not None
    assert result.facts.frame_count == 10


async def test_subtitles_that_are_a_playlist(attack: Attack, film: Film, place: str) -> None:
    content = elsewhere.avi_with_subtitles(film("-c:v", "mjpeg", "-f", "avi"), elsewhere.HLS.format(place=place))
    result = await attack(content)
    assert result.facts is not None
    assert (result.facts.container, result.facts.width) == ("avi", 64)
