"""How single windows score, which sets the demo detector's `suspicious_score`.

`python -m examples.demo_checkpoint.windows [--split S] [--seed N] [--pairs N]` scores every window of clean and
tampered clips. For several scores it prints the share of windows that reach them, and of films in which any window
does, if each window of a film shows other footage. The chosen score is reached in 5 % of the untampered films with 40
windows, the most that a film gets, by the split `validation`.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from examples.demo_checkpoint.clips import make_pair, mapping
from examples.demo_checkpoint.evaluate import score_windows
from examples.demo_checkpoint.sources import OPENCV_DOC, Sources
from sentinel_worker.detectors.registry import DEMO_DETECTOR, find_detector
from sentinel_worker.detectors.video import VideoDetector
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.domain.verdict import sigmoid
from sentinel_worker.domain.windows import COVERAGE, Window
from sentinel_worker.media.probe import open_media

SCORES: Final = (0.5, 0.9, 0.95, 0.97, 0.975, 0.98, 0.99)
FEW_WINDOWS: Final = 9
"""Windows of a film of ten minutes."""
FALSE_ALARMS: Final = 0.05


def score_all(detector: VideoDetector, path: Path) -> list[float]:
    """Score a window at each frame of the clip at `path`: from 0 to 1, before any calibration."""
    media = open_media(path, MediaLimits())
    rate, length = media.facts.planning_rate, detector.spec.window_policy.frames
    starts = range(round(media.facts.duration_seconds * rate) - length + 1)
    windows = [Window(start / rate, (start + length) / rate) for start in starts]
    return [sigmoid(logit) for score in score_windows(detector, media, windows) for logit in score.logits]


def threshold(clean: npt.NDArray[np.float64], windows: int = COVERAGE.max_windows) -> float:
    """The score that the highest of `windows` windows reaches in 5 % of untampered films."""
    return float(np.quantile(clean, (1 - FALSE_ALARMS) ** (1 / windows)))


def table(clean: npt.NDArray[np.float64], tampered: npt.NDArray[np.float64]) -> str:
    """Format the shares that reach each of the scores as lines of text."""
    most = COVERAGE.max_windows
    lines = [
        f"| score | clean windows | clean films of {FEW_WINDOWS} windows | of {most} | tampered windows |",
        "| --- | --- | --- | --- | --- |",
    ]
    for score in SCORES:
        share = float((clean >= score).mean())
        films = " | ".join(f"{100 * (1 - (1 - share) ** count):.1f} %" for count in (FEW_WINDOWS, most))
        lines.append(f"| {score:g} | {100 * share:.2f} % | {films} | {100 * (tampered >= score).mean():.0f} % |")
    return "\n".join(lines)


def main() -> None:
    """Parse the arguments, score, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--seed", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--opencv-doc", type=Path, default=OPENCV_DOC)
    options = parser.parse_args()
    detector = VideoDetector.load(find_detector(DEMO_DETECTOR), "cpu")
    clean: list[float] = []
    tampered: list[float] = []
    with tempfile.TemporaryDirectory() as name, mapping(options.processes) as map_pairs:
        sources = Sources(options.split, options.opencv_doc)
        make = partial(make_pair, options.seed, sources=sources, directory=Path(name))
        for pair in map_pairs(make, range(options.pairs)):
            clean += score_all(detector, pair.clean)
            tampered += score_all(detector, pair.tampered)
    found = np.array(clean)
    print(table(found, np.array(tampered)))
    print(f"{100 * FALSE_ALARMS:g} % of films with {COVERAGE.max_windows} windows reach {threshold(found):.4f}")


if __name__ == "__main__":
    main()
