"""`python -m tests.integration.splices`: which short tampered parts of long films are found, by length.

Prints what windows land on by the plan. With `--decode` it also makes, decodes and judges 300 films (ten minutes).
"""

# ruff: noqa: T201 - it prints
from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from examples import samples
from sentinel_worker.detectors.registry import DEMO_DETECTOR, find_detector
from tests.integration.splices import plan


def main() -> None:
    """Print the table of the plan, and with `--decode` that of real films."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decode", action="store_true")
    chosen = parser.parse_args()
    spec = find_detector(DEMO_DETECTOR)
    print(f"Splices at {plan.PLACES} places, windows of the detector `{DEMO_DETECTOR}`\n\n{plan.HEADINGS}")
    for minutes in plan.MINUTES:
        for seconds in plan.LENGTHS:
            print(plan.planned(minutes, seconds, spec.window_policy).row)
    if chosen.decode:
        decode()


def decode() -> None:
    """Print what real films with splices are answered."""
    from sentinel_worker.detectors.video import VideoDetector  # torch, which the plan does without
    from tests.integration.splices import decoded
    from tests.integration.splices.films import LongFilms

    detector = VideoDetector.load(find_detector(DEMO_DETECTOR), "cpu")
    print(f"\nDecoded and judged, key frames every second\n\n{decoded.HEADINGS}")
    with tempfile.TemporaryDirectory() as name:
        clips = {path.name: path for path, _ in samples.make(Path(name) / "clips")}
        for minutes in plan.MINUTES:
            films = LongFilms(Path(name), clips, minutes)
            for seconds in plan.LENGTHS:
                found = decoded.answered(detector, films, seconds, plan.places(minutes, seconds))
                print(decoded.row(minutes, seconds, found), flush=True)


if __name__ == "__main__":
    main()
