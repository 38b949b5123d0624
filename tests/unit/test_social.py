"""URLs that are posts, the choice of a format, and the meaning of yt-dlp's messages."""

from __future__ import annotations

import errno
import math
import re
import time
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.networking.exceptions import CertificateVerifyError, IncompleteRead, ProxyError
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError, UnavailableVideoError, UserNotLive

from sentinel_worker.config.settings import SITES
from sentinel_worker.domain.errors import Fatal, Transient
from sentinel_worker.sources.social import reasons
from sentinel_worker.sources.social.catalogue import Extractor, find_extractors, suits
from sentinel_worker.sources.social.fetcher import _fraction, _noted
from sentinel_worker.sources.social.formats import choose
from sentinel_worker.sources.social.reasons import Refused, detail, reason
from sentinel_worker.sources.social.sentences import social_error

TOO_LONG = 0.5
"""CPU seconds: a pattern that backtracks takes minutes, the slowest good one a few milliseconds."""


@pytest.fixture(scope="module")
def extractors() -> list[Extractor]:
    """Extractors of the default sites, all known to this yt-dlp."""
    return find_extractors(SITES)


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        "https://youtu.be/dQw4w9WgXcQ",
        "https://www.youtube.com/shorts/dQw4w9WgXcQ",
        "https://www.youtube.com/playlist?list=PLabcdefghijkl",
        "https://x.com/someone/status/1234567890",
        "https://twitter.com/someone/status/1234567890",
        "https://www.tiktok.com/@someone/video/1234567890",
        "https://vm.tiktok.com/ZSe4FqkKd",
        "https://www.instagram.com/reel/Chunk8-jurw/",
        "https://www.facebook.com/watch/?v=647537299265662",
        "https://www.reddit.com/r/videos/comments/6rrwyj/that_small_heart_attack/",
        "https://vimeo.com/76979871",
        "https://clips.twitch.tv/FaintLightGullWholeWheat",
        "https://bsky.app/profile/someone.bsky.social/post/3l4omssdl632g",
        "https://t.me/europa_press/613",
    ],
)
def test_posts_are_known_by_their_url(extractors: list[Extractor], url: str) -> None:
    assert suits(url, extractors)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/film.mp4",
        "https://example.org/watch?v=dQw4w9WgXcQ",
        "https://example.org/https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        "https://cdn.example.org/youtube.com/film.mp4",
        "https://www.youtube.com.example.org/watch?v=dQw4w9WgXcQ",
        "https://storage.googleapis.com/bucket/film.mp4",
        "file:///etc/passwd",
        "ytsearch:cats",
        "/etc/passwd",
    ],
)
def test_other_urls_are_no_posts(extractors: list[Extractor], url: str) -> None:
    assert not suits(url, extractors)


def test_generic_is_never_among_the_extractors(extractors: list[Extractor]) -> None:
    names = {extractor.IE_NAME for extractor in extractors}
    assert {"youtube", "youtube:tab", "TikTok", "twitter", "vimeo:channel"} <= names
    assert not {name for name in names if name.lower().startswith(("generic", "soundcloudembed"))}
    with pytest.raises(Fatal, match="generic"):
        find_extractors(["youtube", "generic"])


def test_a_site_that_nobody_knows_is_named() -> None:
    with pytest.raises(Fatal, match="no extractor named youtobe"):
        find_extractors(["youtube", "youtobe"])


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/" + "a/" * 1000,
        "https://www.youtube.com/watch?" + "v=a&" * 500,
        "https://www.facebook.com/" + "a/" * 1000,
        "https://www.reddit.com/r/" + "a/" * 1000,
        "https://vimeo.com/" + "channels/" * 220,
        "https://www.tiktok.com/@" + "a" * 2000,
        "https://" + "a." * 1000 + "tumblr.com/",
        "https://" + "a" * 2000,
        "https://www.twitch.tv/" + "videos/" * 280,
        "https://vk.com/" + "video-" * 330,
    ],
)
def test_no_url_of_a_row_takes_long_to_judge(extractors: list[Extractor], url: str) -> None:
    """The worker's event loop matches it; a row holds 2,048 characters."""
    suits(url, extractors)
    began = time.thread_time()
    suits(url[:2048], extractors)
    assert time.thread_time() - began < TOO_LONG


@pytest.mark.parametrize("filler", ["a/", "?a=&", "%2F", "1", "-", "video/"])
def test_no_address_of_any_site_takes_long_to_judge(extractors: list[Extractor], filler: str) -> None:
    """Each default extractor's own examples, lengthened to a row's limit."""
    examples = {next((case["url"] for case in extractor.get_testcases()), "") for extractor in extractors}
    assert len(examples) > 50
    for example in examples:
        for start in (example, example.rpartition("/")[0] + "/"):
            url = (start + filler * 2048)[:2048]
            began = time.thread_time()
            suits(url, extractors)
            assert time.thread_time() - began < TOO_LONG, url


SENTENCES = {
    # As worded by yt-dlp's extractors (2026.10.26) and the sites.
    "This video is private": "social_private",
    "Private video. Sign in if you've been granted access to this video": "social_private",
    "You are not authorized to view this protected tweet": "social_private",
    "Sign in to confirm your age. This video may be inappropriate for some users.": "social_age_restricted",
    "Sign in to confirm you're not a bot. Use --cookies-from-browser or --cookies": "social_blocked",
    "Your IP address is blocked from accessing this post": "social_blocked",
    "You have exceeded the rate limit. Try again later": "social_blocked",
    "Request is rejected by server (352)": "social_blocked",
    "This video is only available for registered users. Use --cookies, --username and --password": (
        "social_login_required"
    ),
    "This video is available to this channel's members on level: Fan. Join this channel's members-only": (
        "social_login_required"
    ),
    "This is a supporter-only video: join": "social_login_required",
    "NSFW tweet requires authentication. Use --cookies": "social_age_restricted",
    "Your account does not have access": "social_login_required",
    "Video unavailable. This video has been removed by the uploader": "social_removed",
    "Video not available, status code 10204": "social_removed",
    "Broadcast no longer exists": "social_removed",
    "Twitter Space not found": "social_removed",
    "Premieres in 3 hours": "social_live",
    "This live event will begin in 5 minutes.": "social_live",
    "Streamer is not live": "social_live",
    "The uploader has not made this video available in your country": "social_unavailable_here",
    "This video is DRM protected": "social_protected",
    "No video could be found in this post": "social_no_video",
    "No video formats found!": "social_no_video",
    "Media #2 is not a video": "social_no_video",
    "Unable to extract initial state": "social_failed",
}


@pytest.mark.parametrize(("sentence", "code"), SENTENCES.items())
def test_the_message_of_an_error_gives_its_code(sentence: str, code: str) -> None:
    error = ExtractorError(sentence, expected=True, video_id="x", ie="site")
    assert reason(DownloadError(f"ERROR: {error}", (type(error), error, None))) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("media_too_long"), "media_too_long"),
        (MemoryError(), "media_too_large"),
        (GeoRestrictedError("x"), "social_unavailable_here"),
        (UserNotLive(), "social_live"),
        (ProxyError("Tunnel connection failed: 403 Forbidden"), "social_unreachable"),
        (CertificateVerifyError("certificate verify failed"), "social_unreachable"),
        (IncompleteRead(3, 5), "social_unreachable"),
        (UnavailableVideoError(OSError(errno.EFBIG, "File too large")), "social_failed"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (RecursionError("maximum recursion depth exceeded"), "social_failed"),
    ],
)
def test_the_class_of_an_error_gives_its_code(error: BaseException, code: str) -> None:
    assert reason(error) == code


def test_a_file_too_large_is_recognised_below_other_errors() -> None:
    """The kernel's error, nested as yt-dlp does it."""
    error = UnavailableVideoError("File too large")
    error.__context__ = OSError(errno.EFBIG, "File too large")
    assert reason(DownloadError(str(error), (type(error), error, None))) == "media_too_large"


def test_every_reason_has_a_sentence() -> None:
    source = Path(reasons.__file__).read_text() + (Path(reasons.__file__).parent / "download.py").read_text()
    codes = set(re.findall(r'"((?:social|media|disk)_[a-z_]+)"', source))
    assert len(codes) > 15
    assert {social_error(code).code for code in codes} == codes


def test_a_word_that_is_not_known_is_a_failure() -> None:
    for lie in ("__class__", None, 7, "access_refused", "x" * 10_000):
        assert (type(social_error(lie)), social_error(lie).code) == (Transient, "social_failed")


def test_no_address_is_in_a_detail() -> None:
    error = ExtractorError("Unable to download https://user:pw@cdn/x?sig=1 (caused by https%3A%2F%2Fcdn%2Fx /y?sig=s3)")
    assert not re.search(r"cdn|pw|sig", detail(error))


def one(name: str, height: int | None = None, **facts: Any) -> dict[str, Any]:
    return {"format_id": name, "protocol": "https", "ext": "mp4", "height": height, **facts}


PICTURES: dict[str, Any] = {"acodec": "none", "vcodec": "h264"}
SOUND: dict[str, Any] = {"vcodec": "none", "acodec": "aac"}


@pytest.mark.parametrize(
    ("formats", "chosen"),
    [
        ([one("240", 240), one("360", 360), one("720", 720)], "720"),
        ([one("720", 720), one("1080", 1080), one("2160", 2160)], "1080"),
        ([one("1440", 1440), one("2160", 2160)], "1440"),
        ([one("sound", **SOUND), one("360", 360), one("1080p", 1080, **PICTURES)], "360"),
        ([one("sound", **SOUND), one("144", 144), one("1080p", 1080, **PICTURES)], "1080p"),
        ([one("sound", **SOUND), one("144", 144)], "144"),
        ([one("sound", **SOUND)], "sound"),
        ([one("unknown"), one("tiny", 100)], "unknown"),
        ([one("360", 360), one("live", 720, protocol="rtmp"), one("ws", 720, protocol="websocket_frag")], "360"),
        ([one("360", 360), one("drm", 720, has_drm=True), one("story", 720, protocol="mhtml", ext="mhtml")], "360"),
        ([one("hls", 720, protocol="m3u8_native"), one("dash", 1080, protocol="http_dash_segments")], "dash"),
        ([one("file", protocol="file"), one("data", protocol="data")], None),
        ([], None),
    ],
)
def test_the_best_format_that_needs_no_ffmpeg(formats: list[dict[str, Any]], chosen: str | None) -> None:
    found = [one["format_id"] for one in choose({"formats": formats})]
    assert found == ([chosen] if chosen else [])


@pytest.mark.parametrize(
    ("done", "total", "fraction"),
    [
        (1, 4, 0.25),
        (2**40, 2**41, 0.5),
        (0.5, 1.0, 0.5),
        (0, 0, 0),
        (4, 1, 0),
        (-1, 4, 0),
        (1, None, 0),
        (True, True, 0),
        ("1", "4", 0),
        (math.inf, math.inf, 0),
        (1, math.inf, 0),
        (1, math.nan, 0),
        (math.nan, 1, 0),
        (10**400, math.inf, 0),
        (10**400, 10**401, 0),
        (1, 10**400, 0),
    ],
)
def test_progress_is_a_fraction_whatever_a_process_reports(done: object, total: object, fraction: float) -> None:
    assert _fraction({"done": done, "total": total}) == fraction


@pytest.mark.parametrize(
    ("extractor", "height", "noted"),
    [
        ("youtube", 720, ("youtube", 720)),
        ("a." * 32_000, 10**400, ("a." * 40, None)),
        (["x"], True, ("['x']", None)),
        ("x", -1, ("x", None)),
        ("x", "1", ("x", None)),
        (None, None, (None, None)),
    ],
)
def test_what_a_process_says_of_its_post_is_short_in_the_log(
    extractor: object, height: object, noted: tuple[object, object]
) -> None:
    assert tuple(_noted({"extractor": extractor, "height": height}).values()) == noted
