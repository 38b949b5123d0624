"""CPU time and memory of the scan of a file's packets, beside ffprobe's and torchcodec's.

    python -m bench.scan [--minutes 180] [--packets 100000]

A film of three hours (24 frames a second, with AAC sound) and sound with many small packets. Each measurement is a
process of its own; its imports are measured too, and subtracted. torchcodec keeps the stamps of one stream only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from time import process_time

MEGABYTE = 1024

PROBES = ("imports", "scan", "torchcodec")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--minutes", type=int, default=180)
    arguments.add_argument("--packets", type=int, default=100_000)
    arguments.add_argument("--probe", choices=PROBES, help=argparse.SUPPRESS)
    arguments.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.probe:
        measure(chosen.probe, chosen.path)
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        print(f"{'file':>12}{'packets':>9}{'scan, CPU s':>13}{'memory, MB':>12}", end="")
        print(f"{'ffprobe ÷ scan':>16}{'torchcodec ÷ scan':>19}")
        compare("film", film(Path(name), chosen.minutes))
        compare("sound", small_packets(Path(name), chosen.packets))


def compare(name: str, path: Path) -> None:
    """Print the line of a file."""
    nothing, ours, other = (probed(probe, path) for probe in PROBES)
    seconds = ours["seconds"] - nothing["seconds"]
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run(
        ["ffprobe", "-v", "error", "-show_packets", "-of", "compact", path], stdout=subprocess.DEVNULL, check=True
    )
    after = getrusage(RUSAGE_CHILDREN)
    ffprobe = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{name:>12}{int(ours['packets']):>9}{seconds:>13.2f}{ours['megabytes'] - nothing['megabytes']:>12.0f}", end=""
    )
    print(f"{ffprobe / seconds:>16.2f}{(other['seconds'] - nothing['seconds']) / seconds:>19.2f}")


def probed(probe: str, path: Path) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "bench.scan", "--probe", probe, "--path", str(path)]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def measure(probe: str, path: Path) -> None:
    """Print CPU seconds, peak memory and the number of packets of one kind of scan, as JSON."""
    from torchcodec._core.ops import create_from_file, scan_all_streams_to_update_metadata

    from sentinel_worker.media.films.film_times import FilmTimes
    from sentinel_worker.media.scan.media_file import MediaFile
    from sentinel_worker.media.scan.packets import scan
    from sentinel_worker.media.scan.timeline import timeline_of

    def ours() -> int:
        streams = scan(MediaFile(path, "matroska" if path.suffix == ".mka" else "mov").open()).streams
        for packets in streams.values():
            timeline_of(packets, may_jump=False)
            FilmTimes.of(packets, may_jump=False)
        return sum(map(len, streams.values()))

    def theirs() -> int:
        scan_all_streams_to_update_metadata(create_from_file(str(path), "approximate"))
        return 0

    work: dict[str, Callable[[], int]] = {"imports": lambda: 0, "scan": ours, "torchcodec": theirs}
    begun = process_time()
    packets = work[probe]()
    peak = getrusage(RUSAGE_SELF).ru_maxrss / MEGABYTE
    print(json.dumps({"seconds": process_time() - begun, "megabytes": peak, "packets": packets}))


def film(folder: Path, minutes: int) -> Path:
    """Make a film by repeating a minute without encoding it again."""
    block, result = folder / "minute.mp4", folder / "film.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=s=160x90:r=24:d=60", "-f", "lavfi", "-i", "sine=d=60"]
    ffmpeg(*source, "-c:v", "libx264", "-preset", "veryfast", "-g", "48", "-c:a", "aac", "-shortest", str(block))
    ffmpeg("-stream_loop", str(minutes - 1), "-i", str(block), "-c", "copy", str(result))
    return result


def small_packets(folder: Path, packets: int) -> Path:
    """Make sound in packets of 20 ms."""
    result = folder / "sound.mka"
    ffmpeg("-f", "lavfi", "-i", f"sine=d={packets / 50}", "-c:a", "libopus", "-b:a", "16k", str(result))
    return result


def ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments], check=True)


if __name__ == "__main__":
    main()
