"""Children live and die independently of the worker; only their own request is affected."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.samples import film_path
from sentinel_worker.domain.compute import Compute
from sentinel_worker.domain.derived import Still
from sentinel_worker.domain.errors import CodedError, Fatal, Permanent, Transient
from sentinel_worker.domain.media_facts import Clip, FaceSearch, Heard, MediaLimits, Skipped, SoundGeometry
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.child_client import Child
from sentinel_worker.media.zygote import Zygote
from tests.integration.media.films import ffmpeg, frame_numbers, geometry
from tests.integration.media.processes import alive, descriptors_open, processes
from tests.machines import without_descriptors, without_processes

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("nothing_is_left_over")]

LIMITS = MediaLimits()
WINDOWS = [Window(0.0, 0.8), Window(0.8, 1.6)]


@pytest.mark.parametrize(
    ("lacking", "code"),
    [(without_descriptors, "descriptors_exhausted"), (without_processes, "memory_exhausted")],
    ids=["descriptors", "processes"],
)
async def test_a_zygote_that_lacks_something_forks_again_when_it_has_it(
    zygote: Zygote, request_folder: Path, lacking: Callable[[int], AbstractContextManager[None]], code: str
) -> None:
    pid = zygote.pid
    assert pid is not None
    with lacking(pid), pytest.raises(Transient) as refused:
        async with zygote.open(request_folder / "media", request_folder, LIMITS):
            pass
    assert refused.value.code == code
    async with zygote.open(request_folder / "media", request_folder, LIMITS) as child:
        assert (await child.probe()).container == "mp4"
    assert zygote.pid == pid


async def test_a_request_from_probe_to_pictures(zygote: Zygote, request_folder: Path) -> None:
    async with zygote.open(request_folder / "media", request_folder, LIMITS) as child:
        facts = await child.probe()
        assert (facts.container, facts.width, facts.height, facts.frame_count) == ("mp4", 64, 48, 50)
        found = [clip async for clip in child.clips(WINDOWS, geometry(5, 0.16))]
        assert [clip.window for clip in found] == WINDOWS
        assert [frame_numbers(clip) for clip in found if isinstance(clip, Clip)] == [
            [0, 4, 8, 12, 16],
            [20, 24, 28, 32, 36],
        ]
        pictures = await child.derive([Still(0.0), Still(1.0)], names=["first.webp", "worst.webp"])
    assert [path.name for path in pictures] == ["first.webp", "worst.webp"]
    assert sorted(path.name for path in request_folder.iterdir()) == ["first.webp", "media", "worst.webp"]
    with Image.open(pictures[1]) as picture:
        assert (picture.format, picture.size) == ("WEBP", (64, 48))
        assert np.asarray(picture).mean() * 219 / 255 / 4 == pytest.approx(25, abs=0.5)
    assert pictures[0].stat().st_mode & 0o777 == 0o600


async def test_faces_and_sound_come_from_a_confined_child(zygote: Zygote, tmp_path: Path) -> None:
    path = tmp_path / "media.mp4"
    tone = "aevalsrc='if(lt(t,2),0,sin(2*PI*440*t))':s=16000:d=4"
    film = film_path("carphone_pristine.mp4")
    ffmpeg("-i", film, "-f", "lavfi", "-i", tone, "-map", "0:v", "-map", "1:a", "-c:v", "copy", path)
    windows = [Window(0.0, 0.5), Window(3.0, 3.5)]
    async with zygote.open(path, tmp_path, LIMITS) as child:
        assert (await child.probe()).has_audio
        faces = [clip async for clip in child.clips(windows, geometry(4, 0.1), FaceSearch())]
        sounds = [clip async for clip in child.sounds(windows, SoundGeometry(samples=8000))]
        status = Path(f"/proc/{child.pid}/status").read_text("utf-8")
    assert all(isinstance(clip, Clip) and clip.face is not None and clip.face.score > 0.8 for clip in faces)
    assert [clip.window for clip in faces] == windows
    assert sounds[0] == Skipped(windows[0], "silence")
    assert isinstance(sounds[1], Clip)
    assert np.abs(sounds[1].values).max() == pytest.approx(1, abs=0.1)
    assert "\nThreads:\t1" in status


async def test_a_child_reads_the_sound_beside_streams_of_every_kind(zygote: Zygote, tmp_path: Path) -> None:
    path, words = tmp_path / "media.mkv", tmp_path / "words.srt"
    words.write_text("1\n00:00:00,000 --> 00:00:01,000\nWords\n", "utf-8")
    picture = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=2")
    inverted = ("-f", "lavfi", "-i", "aevalsrc='0.5*sin(880*PI*t)|-0.5*sin(880*PI*t)':s=44100:d=2")
    codecs = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "flac", "-c:s", "srt")
    attached = ("-attach", words, "-metadata:s:t", "mimetype=text/plain")
    ffmpeg(*picture, *inverted, "-i", words, "-map", "0", "-map", "1", "-map", "2", *codecs, *attached, path)
    async with zygote.open(path, tmp_path, LIMITS) as child:
        assert (await child.probe()).has_audio
        (clip,) = [clip async for clip in child.sounds([Window(0.5, 1.0)], SoundGeometry(samples=8000))]
        status = Path(f"/proc/{child.pid}/status").read_text("utf-8")
    assert isinstance(clip, Clip)
    assert clip.heard == Heard(channel=1)
    assert np.abs(clip.values).max() == pytest.approx(0.5, abs=0.01)
    assert "\nThreads:\t1" in status


async def test_a_picture_from_probe_to_thumbnail(zygote: Zygote, tmp_path: Path) -> None:
    Image.effect_mandelbrot((800, 400), (-2, -1, 1, 1), 50).convert("RGB").save(tmp_path / "media", "AVIF")
    async with zygote.open(tmp_path / "media", tmp_path, LIMITS) as child:
        facts = await child.probe()
        assert (facts.kind, facts.width, facts.frames_per_second) == ("image", 800, 0.0)
        whole = [clip async for clip in child.clips([Window(0.0, 1.0)], geometry(1, 1.0))]
        none = [clip async for clip in child.clips([Window(0.0, 1.0)], geometry(1, 1.0), FaceSearch())]
        (thumbnail,) = await child.derive([Still(0.0)], names=["first.webp"])
    assert [type(answer) for answer in (*whole, *none)] == [Clip, Skipped]
    with Image.open(thumbnail) as picture:
        assert picture.size == (640, 320)


async def test_pictures_are_at_most_640_pixels_wide(zygote: Zygote, media: Path, tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=1920x1080:r=5:d=1", "-pix_fmt", "yuv420p", tmp_path / "media.mp4")
    async with zygote.open(tmp_path / "media.mp4", tmp_path, LIMITS) as child:
        (path,) = await child.derive([Still(0.4)], names=["first.webp"])
    with Image.open(path) as picture:
        assert picture.size == (640, 360)


async def test_the_child_is_confined(zygote: Zygote, request_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_x")
    async with zygote.open(request_folder / "media", request_folder, LIMITS) as child:
        proc = Path(f"/proc/{child.pid}")
        assert (proc / "environ").read_bytes() == b""
        assert {"resource_limits", "no_new_privileges"} <= set(child.layers.in_force)
        assert {"network_namespace", "seccomp"} & set(child.layers.in_force)
        status = (proc / "status").read_text("utf-8")
        if "seccomp" in child.layers.in_force:
            assert "\nSeccomp:\t2" in status
        if "network_namespace" in child.layers.in_force:
            assert (proc / "ns/net").readlink() != Path("/proc/self/ns/net").readlink()
        assert "\nNoNewPrivs:\t1" in status
        assert "\nThreads:\t1" in status
        assert (proc / "cwd").readlink() == request_folder
        # Only the null device three times and the socket to the worker.
        assert descriptors_open(child.pid) == 4
        assert str((proc / "fd/3").readlink()).startswith("socket:")
    assert zygote.pid is not None
    assert Path(f"/proc/{zygote.pid}/environ").read_bytes() == b""


async def test_what_the_child_refuses_reaches_the_worker(zygote: Zygote, request_folder: Path) -> None:
    path = request_folder / "media"
    path.write_bytes(b"#EXTM3U\nhttp://127.0.0.1/segment.ts\n")
    async with zygote.open(path, request_folder, LIMITS) as child:
        with pytest.raises(Permanent, match="HLS playlist") as refused:
            await child.probe()
    assert refused.value.code == "media_not_supported"
    assert refused.value.params == {"found": "an HLS playlist"}


@pytest.mark.parametrize(
    ("how", "error", "code"),
    [
        (signal.SIGSEGV, Permanent, "media_unreadable"),
        (signal.SIGXCPU, Permanent, "too_slow_to_analyze"),
        (signal.SIGKILL, Transient, "decoder_lost"),
    ],
)
async def test_a_child_that_dies_is_an_error_of_its_request(
    zygote: Zygote, request_folder: Path, how: signal.Signals, error: type[CodedError], code: str
) -> None:
    media = request_folder / "media"
    async with (
        zygote.open(media, request_folder, LIMITS) as child,
        zygote.open(media, request_folder, LIMITS) as other,
    ):
        os.kill(child.pid, how)
        with pytest.raises(error) as lost:
            await child.probe()
        assert lost.value.code == code
        assert (await other.probe()).has_video


async def test_a_child_is_the_first_that_the_kernel_kills_when_memory_runs_out(
    zygote: Zygote, request_folder: Path
) -> None:
    async with zygote.open(request_folder / "media", request_folder, LIMITS) as child:
        offered = [Path(f"/proc/{pid}/oom_score_adj").read_text("ascii").strip() for pid in (child.pid, zygote.pid)]
    assert offered[0] == "1000"
    assert offered[1] == Path("/proc/self/oom_score_adj").read_text("ascii").strip()


async def test_a_child_that_dies_between_clips(zygote: Zygote, request_folder: Path) -> None:
    async with zygote.open(request_folder / "media", request_folder, LIMITS) as child:
        # Far more than the socket holds: the child is blocked in the middle of a clip.
        stream = child.clips(WINDOWS * 4, geometry(40, 0.02, size=256))
        await anext(stream)
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(Transient) as lost:
            _ = [clip async for clip in stream]
    assert lost.value.code == "decoder_lost"


async def test_a_service_that_is_told_to_stop_still_decodes(zygote: Zygote, request_folder: Path) -> None:
    async with zygote.open(request_folder / "media", request_folder, LIMITS) as child:
        assert zygote.pid is not None
        for pid in (zygote.pid, child.pid):
            os.kill(pid, signal.SIGTERM)
        assert (await child.probe()).has_video
    assert zygote.restarts == 0


async def test_cancelling_a_request_ends_its_child(zygote: Zygote, request_folder: Path) -> None:
    pids: asyncio.Queue[int] = asyncio.Queue()

    async def work() -> None:
        async with zygote.open(request_folder / "media", request_folder, LIMITS) as child:
            await pids.put(child.pid)
            async for _ in child.clips(WINDOWS * 20, geometry(40, 0.02, size=256)):
                await asyncio.Event().wait()

    task = asyncio.create_task(work())
    pid = await pids.get()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(pid)


async def test_cancelling_at_any_moment_leaves_nothing(zygote: Zygote, request_folder: Path) -> None:
    async def work() -> None:
        async with zygote.open(request_folder / "media", request_folder, LIMITS) as child:
            await child.probe()

    for turns in range(0, 24, 2):
        task = asyncio.create_task(work())
        for _ in range(turns):
            await asyncio.sleep(0)  # one turn of the loop, the moment under test
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert zygote.pid is not None
    assert processes(zygote.pid) == set()


async def test_a_stuck_child_costs_its_wall_clock_limit(zygote: Zygote, request_folder: Path) -> None:
    limits = replace(LIMITS, max_wall_seconds=0.3)
    async with zygote.open(request_folder / "media", request_folder, limits) as child:
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(Transient) as late:
            await child.probe()
    assert late.value.code == "decoder_timeout"


async def test_time_between_clips_is_free(
    zygote: Zygote, request_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, loop, later = replace(LIMITS, max_wall_seconds=60.0), asyncio.get_running_loop(), 0.0
    monkeypatch.setattr(loop, "time", lambda: time.monotonic() + later)
    async with zygote.open(request_folder / "media", request_folder, limits) as child:
        seen = 0
        async for _ in child.clips(WINDOWS, geometry(4, 0.1)):
            later += 50.0
            seen += 1
    assert seen == 2


async def test_the_memory_limit_bites(zygote: Zygote, tmp_path: Path) -> None:
    source = ("-f", "lavfi", "-i", "color=red:s=4096x4096:r=5:d=1")
    ffmpeg(*source, "-preset", "ultrafast", "-pix_fmt", "yuv420p", tmp_path / "media.mp4")
    limits = replace(LIMITS, max_memory_bytes=40_000_000)
    async with zygote.open(tmp_path / "media.mp4", tmp_path, limits) as child:
        with pytest.raises(Permanent) as refused:
            _ = [clip async for clip in child.clips([Window(0.0, 1.0)], geometry(4, 0.2, size=4096))]
    assert refused.value.code == "media_too_large"


async def test_the_kernel_counts_what_a_child_costs(zygote: Zygote, request_folder: Path) -> None:
    """However it ends."""
    media = request_folder / "media"
    for how in (None, signal.SIGKILL, signal.SIGSEGV):
        compute = Compute()
        async with zygote.open(media, request_folder, LIMITS, compute) as child:
            _ = [clip async for clip in child.clips(WINDOWS, geometry(5, 0.16))]
            running = compute.cpu_seconds
            if how is not None:
                os.kill(child.pid, how)
        ended = compute.cpu_seconds
        assert 0 < running <= ended + 0.001, "rusage is in microseconds"
        assert compute.cpu_seconds == ended


async def test_the_cpu_limit_bites(zygote: Zygote, bikes: Path, tmp_path: Path) -> None:
    (tmp_path / "media").write_bytes(bikes.read_bytes())
    limits = replace(LIMITS, max_cpu_seconds=1)

    async def decode_for_ever(child: Child) -> None:
        while True:
            _ = [clip async for clip in child.clips([Window(0.0, 10.0)], geometry(250, 0.04))]

    async with zygote.open(tmp_path / "media", tmp_path, limits) as child:
        with pytest.raises(Permanent) as refused:
            await decode_for_ever(child)
    assert refused.value.code == "too_slow_to_analyze"


async def test_one_call_at_a_time(zygote: Zygote, request_folder: Path) -> None:
    async with zygote.open(request_folder / "media", request_folder, LIMITS) as child:
        stream = child.clips(WINDOWS, geometry(4, 0.1))
        await anext(stream)
        with pytest.raises(RuntimeError, match="one call"):
            await child.probe()
        await stream.aclose()


async def test_the_media_lies_in_its_own_folder(zygote: Zygote, request_folder: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "elsewhere", Path("media")):
        with pytest.raises(ValueError, match="own directory"):
            async with zygote.open(path, request_folder, LIMITS):
                pass


async def test_a_derived_file_is_a_plain_file_of_the_child(zygote: Zygote, request_folder: Path) -> None:
    async with zygote.open(request_folder / "media", request_folder, LIMITS) as child:
        with pytest.raises(Transient) as refused:
            await child.derive([Still(0.0)], names=["../first.webp"])
    assert refused.value.code == "decoder_failed"


async def test_a_folder_that_is_gone_causes_no_crash(zygote: Zygote, tmp_path: Path) -> None:
    with pytest.raises(Fatal) as refused:
        async with zygote.open(tmp_path / "gone" / "media", tmp_path / "gone", LIMITS):
            pass
    assert refused.value.code == "sandbox_unavailable"


@pytest.mark.matrix("media")
async def test_latency(zygote: Zygote, request_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A figure to watch, not a limit: the fork of a confined child, and its clips."""
    forks, clips = [], []
    for _ in range(10):
        begun = time.perf_counter()
        async with zygote.open(request_folder / "media", request_folder, LIMITS) as child:
            forks.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            _ = [clip async for clip in child.clips(WINDOWS[:1], geometry(16, 0.05, size=224))]
            clips.append(time.perf_counter() - begun)
    with capsys.disabled():
        print(f"\nfork {1000 * np.median(forks):.1f} ms, clip of 16 x 224 x 224 {1000 * np.median(clips):.1f} ms")  # noqa: T201
