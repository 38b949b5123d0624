"""Posts of an imitated site: fetched whole through the proxy, or refused by their own error code."""

from __future__ import annotations

import asyncio
import functools
import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sentinel_worker.domain.compute import Compute
from sentinel_worker.domain.errors import CodedError, Permanent, Transient
from sentinel_worker.sources.fetched import Fetched
from sentinel_worker.sources.social.download import MAX_STEPS
from sentinel_worker.sources.social.fetcher import WITHOUT_SOUND, Social
from tests.integration.sources.social.site import Site, fetcher
from tests.integration.sources.unruly import Exchange, drip

CONTENT = os.urandom(3_000_000)
LIMIT = 5_000_000


async def fetch(site: Site, url: str, private: Path, social: Social | None = None, **options: Any) -> Fetched:
    options.setdefault("limit_bytes", LIMIT)
    return await (social or fetcher(site.port)).fetch(url, directory=private, **options)


async def refused(site: Site, url: str, private: Path, social: Social | None = None, **options: Any) -> CodedError:
    with pytest.raises((Permanent, Transient)) as error:
        await fetch(site, url, private, social, **options)
    assert list(private.iterdir()) == []
    assert not processes()
    return error.value


def processes() -> list[str]:
    """Command lines of these child processes that still live."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode()
            parent = int((entry.parent / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if "sources.social" in line and parent == os.getpid():
            found.append(line)
    return found


async def test_a_file_is_fetched_whole(site: Site, private: Path) -> None:
    shares: list[float] = []
    url = site.post("one", url=site.film(CONTENT))
    compute = Compute()
    social = fetcher(site.port, compute=compute)
    fetched = await fetch(site, url, private, social, on_progress=shares.append)
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert fetched == Fetched(private / "media", len(CONTENT), digest, source_url=url)
    assert compute.cpu_seconds > 0, "the process counts"
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in private.iterdir()] == ["media"]
    assert shares
    assert all(0 <= share <= 1 for share in shares)
    assert site.asked == ["GET /api/one", "GET /film.mp4"]
    assert not processes()


def hls(site: Site, segments: int, bytes_each: int, *, ended: bool = True) -> str:
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:2"]
    for number in range(segments):
        content = bytes([number % 256]) * bytes_each
        lines += ["#EXTINF:2.0,", site.film(content, f"/part-{number}.ts")]
    body = "\n".join([*lines, *(["#EXT-X-ENDLIST"] if ended else [])]).encode()
    return site.film(body, "/film.m3u8")


async def test_hls_is_put_together_without_ffmpeg(site: Site, private: Path) -> None:
    url = site.post("hls", formats=[{"url": hls(site, 5, 1000), "protocol": "m3u8", "ext": "mp4"}])
    fetched = await fetch(site, url, private)
    assert fetched.path.read_bytes() == b"".join(bytes([number]) * 1000 for number in range(5))


async def test_hls_above_the_limit_ends_at_the_limit(site: Site, private: Path) -> None:
    url = site.post("hls", formats=[{"url": hls(site, 30, 500_000), "protocol": "m3u8_native", "ext": "mp4"}])
    assert (await refused(site, url, private)).code == "media_too_large"
    parts = [path for path in site.asked if "part" in path]
    assert 10 <= len(parts) <= 12


async def test_a_film_with_a_hole_is_refused(site: Site, private: Path) -> None:
    playlist = hls(site, 4, 1000)
    del site.pages["/part-2.ts"]
    url = site.post("hole", formats=[{"url": playlist, "protocol": "m3u8", "ext": "mp4"}])
    assert (await refused(site, url, private)).code == "social_removed"


async def endless(exchange: Exchange) -> None:
    """An endless chunked body."""
    exchange.writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    block = bytes(100_000)
    while True:
        exchange.writer.write(b"%x\r\n%b\r\n" % (len(block), block))
        await exchange.writer.drain()


async def test_a_chunked_body_ends_at_the_limit(site: Site, private: Path) -> None:
    site.pages["/endless.mp4"] = endless
    url = site.post("endless", url=f"{site.base}/endless.mp4")
    assert (await refused(site, url, private)).code == "media_too_large"


async def test_a_length_above_the_limit_is_refused_at_its_first_bytes(site: Site, private: Path) -> None:
    sent = 0

    async def huge(exchange: Exchange) -> None:
        nonlocal sent
        exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n")
        while True:
            exchange.writer.write(bytes(1000))
            await exchange.writer.drain()
            sent += 1000

    site.pages["/huge.mp4"] = huge
    url = site.post("huge", url=f"{site.base}/huge.mp4")
    assert (await refused(site, url, private, limit_bytes=10**9)).code == "media_too_large"
    assert sent < 50_000_000


async def test_a_page_that_is_a_bomb_ends_only_its_process(site: Site, private: Path) -> None:
    """8 MB of gzip that unpack to 8 GB."""
    packed = gzip.compress(bytes(100_000_000), 1) * 80

    async def bomb(exchange: Exchange) -> None:
        await exchange.answer("200 OK", packed, content_type="application/json", content_encoding="gzip")

    site.pages["/api/bomb"] = bomb
    assert (await refused(site, f"{site.base}/post/bomb", private)).code == "media_too_large"


async def test_media_that_unpacks_is_limited_by_what_it_becomes(site: Site, private: Path) -> None:
    packed = gzip.compress(bytes(200_000_000), 1)

    async def bomb(exchange: Exchange) -> None:
        await exchange.answer("200 OK", packed, content_type="video/mp4", content_encoding="gzip")

    site.pages["/bomb.mp4"] = bomb
    url = site.post("bomb", url=f"{site.base}/bomb.mp4")
    assert (await refused(site, url, private)).code == "media_too_large"


async def test_pages_without_an_end_are_limited_too(site: Site, private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentinel_worker.sources.social.fetcher.PAGES_BYTES", 1_000_000)
    site.pages["/api/endless"] = endless
    assert (await refused(site, f"{site.base}/post/endless", private)).code == "media_too_large"


async def test_a_drip_is_a_stall(site: Site, private: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"
    site.pages["/drip.mp4"] = functools.partial(drip, head=head)
    url = site.post("drip", url=f"{site.base}/drip.mp4")
    error = await refused(site, url, private, fetcher(site.port, stall_seconds=1.0))
    assert (type(error), error.code) == (Transient, "social_stalled")


POSTS: dict[str, dict[str, Any]] = {
    "social_live": {"url": "http://imitation.test/live.m3u8", "is_live": True},
    "social_playlist": {"do": "list", "posts": ["a", "b"]},
    "social_private": {"do": "fail", "sentence": "This video is private"},
    "social_removed": {"do": "fail", "sentence": "This video has been removed by the uploader"},
    "social_login_required": {"do": "login"},
    "social_age_restricted": {"do": "fail", "sentence": "Sign in to confirm your age"},
    "social_blocked": {"do": "fail", "sentence": "Sign in to confirm you're not a bot"},
    "social_unavailable_here": {"do": "elsewhere"},
    "social_js_runtime_missing": {"do": "script"},
    "social_protected": {"do": "fail", "sentence": "This video is DRM protected"},
    "social_no_video": {"do": "fail", "sentence": "No video could be found in this post"},
    "media_too_long": {"url": "http://imitation.test/film.mp4", "duration": 3601},
    "social_failed": {"do": "fail", "sentence": "Something that nobody has seen before"},
}


@pytest.mark.parametrize("code", POSTS)
async def test_what_is_not_fetched_says_why(site: Site, private: Path, code: str) -> None:
    error = await refused(site, site.post("x", **POSTS[code]), private)
    assert error.code == code
    assert error.message.endswith(".")
    assert site.asked == ["GET /api/x"]


@pytest.mark.parametrize("page", [{"live_status": "is_upcoming"}, {"do": "not_live"}, {"live_status": "post_live"}])
async def test_a_stream_that_has_not_begun_is_live_too(site: Site, private: Path, page: dict[str, Any]) -> None:
    url = site.post("x", **{"url": site.film(CONTENT), **page})
    assert (await refused(site, url, private)).code == "social_live"


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        ("404 Not Found", Permanent, "social_removed"),
        ("410 Gone", Permanent, "social_removed"),
        ("401 Unauthorized", Permanent, "social_login_required"),
        ("451 Unavailable For Legal Reasons", Permanent, "social_unavailable_here"),
        ("403 Forbidden", Transient, "social_blocked"),
        ("429 Too Many Requests", Transient, "social_blocked"),
        ("503 Service Unavailable", Transient, "social_unreachable"),
    ],
)
async def test_the_status_of_an_answer_gives_its_code(
    site: Site, private: Path, status: str, kind: type[Any], code: str
) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.answer(status, b"no")

    site.pages["/api/x"] = answer
    error = await refused(site, f"{site.base}/post/x", private)
    assert (type(error), error.code) == (kind, code)


async def test_a_list_of_one_is_its_video(site: Site, private: Path) -> None:
    site.post("inner", url=site.film(CONTENT))
    fetched = await fetch(site, site.post("outer", do="list", posts=["inner"]), private)
    assert fetched.size_bytes == len(CONTENT)


async def test_an_endless_list_is_not_walked(site: Site, private: Path) -> None:
    """A post that refers to itself as a list of one."""
    assert (await refused(site, site.post("loop", do="list", posts=["loop"]), private)).code == "social_failed"
    assert len(site.asked) == MAX_STEPS


@pytest.mark.parametrize("extractor", ["Generic", "Youtube", None])
async def test_a_post_cannot_name_another_extractor(site: Site, private: Path, extractor: str | None) -> None:
    target = site.film(CONTENT, "/elsewhere.html")
    url = site.post("x", do="another", url=target, ie=extractor)
    assert (await refused(site, url, private)).code == "social_not_supported"
    assert site.asked == ["GET /api/x"]


async def test_a_post_cannot_smuggle_generic_in(site: Site, private: Path) -> None:
    url = site.post("x", do="another_by_hand", url=site.film(CONTENT))
    assert (await refused(site, url, private)).code == "social_not_supported"
    assert site.asked == ["GET /api/x"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://imitation.test/film.mp4", "rtmp://imitation.test/film"])
async def test_media_comes_only_over_http(site: Site, private: Path, url: str) -> None:
    error = await refused(site, site.post("x", url=url), private)
    assert error.code in {"social_failed", "social_no_video"}
    assert site.asked == ["GET /api/x"]


async def test_pictures_without_sound_are_marked(site: Site, private: Path) -> None:
    pictures, sound = site.film(CONTENT, "/pictures.mp4"), site.film(b"sound", "/sound.m4a")
    url = site.post(
        "apart",
        formats=[
            {"format_id": "s", "url": sound, "vcodec": "none", "acodec": "aac", "ext": "m4a"},
            {"format_id": "p", "url": pictures, "vcodec": "h264", "acodec": "none", "ext": "mp4", "height": 720},
        ],
    )
    fetched = await fetch(site, url, private)
    assert (fetched.size_bytes, fetched.notice) == (len(CONTENT), WITHOUT_SOUND)
    assert "GET /sound.m4a" not in site.asked


async def test_a_process_that_dies_fails_its_request(site: Site, private: Path) -> None:
    error = await refused(site, site.post("x", do="crash"), private)
    assert (type(error), error.code) == (Transient, "social_failed")


@pytest.mark.parametrize("when", ["extracting", "downloading", "hanging"])
async def test_an_end_during_the_work_leaves_nothing(site: Site, private: Path, when: str) -> None:
    """The lease is lost, or the owner cancels."""
    reached = asyncio.Event()

    async def hang(exchange: Exchange) -> None:
        if when == "downloading":
            exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n" + bytes(1_000_000))
        if when == "hanging":
            await exchange.answer("200 OK", b'{"do": "hang"}')
        reached.set()
        await exchange.writer.drain()
        await asyncio.Event().wait()

    url = site.post("x", url=f"{site.base}/hang.mp4")
    site.pages["/hang.mp4" if when == "downloading" else "/api/x"] = hang
    work = asyncio.create_task(fetch(site, url, private))
    await reached.wait()
    assert len(processes()) == 1
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert work.cancelled()
    assert list(private.iterdir()) == []
    assert not processes()


async def test_the_limit_of_a_stage_ends_the_process(site: Site, private: Path) -> None:
    async def hang(exchange: Exchange) -> None:
        stage.reschedule(asyncio.get_running_loop().time())
        await asyncio.Event().wait()

    site.pages["/api/x"] = hang
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as stage:
            await fetch(site, f"{site.base}/post/x", private)
    assert list(private.iterdir()) == []
    assert not processes()


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo])
async def test_only_a_plain_file_is_taken(private: Path, make: Callable[[Path], None]) -> None:
    """Files that a hijacked process leaves under the film's name."""
    from sentinel_worker.sources.social.fetcher import _take

    make(private / "made")
    with pytest.raises(Transient, match="social_failed"):
        _take(private / "made", private / "media", LIMIT)
    assert not (private / "media").exists()


async def test_no_url_leaves_in_a_message(site: Site, private: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = f"Unable to get {site.base}/signed.mp4?token=s3cr3t because s3cr3t=x&token=s3cr3t"
    error = await refused(site, site.post("x", do="fail", sentence=sentence), private)
    said = "".join(capsys.readouterr())
    assert "s3cr3t" not in said + str(error)
    assert "social.failed" in said
