"""Time and memory of one analysis by the length of the video.

    python -m bench.long_video [--minutes 1 10 120]

The footage is a loop at a low bitrate, with sound; the detector is the demo's. Printed for each length: the seconds of
each stage, the windows, the seconds in which a child decodes the windows of sound, of four seconds each (which it does
from the start of the file), and the peak proportional set size (PSS) of all processes together.
"""

import argparse
import asyncio
import os
import subprocess
import tempfile
from pathlib import Path
from time import monotonic

from bench.memory import MEGABYTE, sample
from examples import samples
from sentinel_worker.detectors.registry import DEMO_DETECTOR, DETECTORS
from sentinel_worker.domain.media_facts import MediaLimits, SoundGeometry
from sentinel_worker.domain.windows import FrameStep, WindowPolicy, plan_windows
from sentinel_worker.inference.examiner import Examiner, open_examiner


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--minutes", type=int, nargs="+", default=[1, 10, 120])
    chosen = arguments.parse_args()
    print(f"{'minutes':>8}{'MB':>8}{'windows':>9}{'copy, hash':>12}{'scan':>8}{'analyze':>9}{'sound':>8}", end="")
    print(f"{'peak PSS, MB':>14}")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        block = film(folder)
        async with open_examiner([DETECTORS[DEMO_DETECTOR]], folder, device="cpu") as examiner:
            for minutes in chosen.minutes:
                path = repeated(folder, block, minutes)
                peaks: dict[str, int] = {}
                sampling = asyncio.create_task(sample(os.getpid(), peaks))
                found = (await examiner.examine(path)).document
                sound_seconds = await listen(examiner, path)
                sampling.cancel()
                seconds, megabytes = found["timings"], path.stat().st_size / MEGABYTE
                print(f"{minutes:>8}{megabytes:>8.1f}{len(found['timeline']):>9}{seconds['fetching']:>12.2f}", end="")
                print(f"{seconds['probing']:>8.2f}{seconds['analyzing']:>9.2f}{sound_seconds:>8.2f}", end="")
                print(f"{peaks['together'] / MEGABYTE:>14.1f}")
                path.unlink()


async def listen(examiner: Examiner, path: Path) -> float:
    """Return the seconds for decoding the sound's windows of four seconds."""
    geometry = SoundGeometry(4 * 16_000)
    policy = WindowPolicy(geometry.samples, FrameStep(source_frames=1), budget=8)
    async with examiner.zygote.open(path, path.parent, MediaLimits()) as child:
        facts = await child.probe()
        windows = plan_windows(facts.audio_seconds, geometry.sample_rate, policy)
        began = monotonic()
        heard = [piece async for piece in child.sounds(windows, geometry)]
    assert len(heard) == len(windows)
    return monotonic() - began


def film(folder: Path) -> Path:
    """Make a minute of real footage with sound, at about 150 kbit/s, with a key frame every ten seconds."""
    source = ["-stream_loop", "-1", "-i", str(samples.film_path("bikes.mp4")), "-f", "lavfi", "-i", "sine=300"]
    encode = ["-c:v", "libx264", "-preset", "veryfast", "-b:v", "100k", "-g", "250", "-c:a", "aac", "-b:a", "48k"]
    result = folder / "minute.mp4"
    shape = ["-map", "0:v", "-map", "1:a", "-vf", "scale=320:-2", "-t", "60"]
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *source, *shape, *encode, str(result)], check=True)
    return result


def repeated(folder: Path, block: Path, minutes: int) -> Path:
    """Repeat the block by copying streams, without encoding."""
    result = folder / f"{minutes}.mp4"
    loop = ["-stream_loop", str(minutes - 1), "-i", str(block), "-c", "copy"]
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *loop, str(result)], check=True)
    return result


if __name__ == "__main__":
    asyncio.run(main())
