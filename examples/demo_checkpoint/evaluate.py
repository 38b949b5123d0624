"""Measure a checkpoint through the production path: MP4 files, decoded, scored and judged as by the worker.

`python -m examples.demo_checkpoint.evaluate [--folder F] [--seed N] [--pairs N]` prints a table.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from examples.demo_checkpoint.clips import make_pair, mapping
from examples.demo_checkpoint.sources import OPENCV_DOC, Sources, Split
from examples.measuring import CLEAN, Answer, table
from sentinel_worker.detectors.registry import DEMO_DETECTOR, find_detector
from sentinel_worker.detectors.video import VideoDetector
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.domain.verdict import Judgement, WindowScore, judge
from sentinel_worker.domain.windows import Window, plan_windows
from sentinel_worker.media.decode import decode_clips
from sentinel_worker.media.opened_media import OpenedMedia
from sentinel_worker.media.probe import open_media


def judge_file(detector: VideoDetector, path: Path) -> Judgement:
    """Judge the video at `path` (absolute) with the worker's own modules."""
    media = open_media(path, MediaLimits())
    facts, spec = media.facts, detector.spec
    windows = plan_windows(facts.duration_seconds, facts.planning_rate, spec.window_policy, facts.keyframe_seconds)
    scores = score_windows(detector, media, windows)
    lost = set(windows) - {score.window for score in scores}
    scores += [WindowScore(window, skipped="damaged") for window in lost]
    return judge(scores, facts.duration_seconds, spec.rule, part_windows=spec.window_policy.budget)


def score_windows(detector: VideoDetector, media: OpenedMedia, windows: Sequence[Window]) -> list[WindowScore]:
    """Decode and score `windows`; those that cannot be decoded are left out."""
    decoded = list(decode_clips(media, windows, detector.geometry(media.facts.planning_rate)))
    frames = torch.stack([torch.from_numpy(one.clip.values) for one in decoded])
    logits = detector.score(frames).tolist()
    return [WindowScore(one.clip.window, (logit,)) for one, logit in zip(decoded, logits, strict=True)]


def evaluate(
    detector: VideoDetector,
    seed: int,
    pairs: int,
    *,
    split: Split = "test",
    processes: int = 2,
    opencv_doc: Path = OPENCV_DOC,
) -> list[Answer]:
    """Generate `pairs` clean and as many tampered clips of a split, and judge each."""
    with tempfile.TemporaryDirectory() as name, mapping(processes) as map_pairs:
        make = partial(make_pair, seed, sources=Sources(split, opencv_doc), directory=Path(name))
        answers: list[Answer] = []
        for pair in map_pairs(make, range(pairs)):
            answers.append(Answer(CLEAN, judge_file(detector, pair.clean)))
            answers.append(Answer(pair.kind, judge_file(detector, pair.tampered)))
    return answers


def main() -> None:
    """Parse the arguments, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--seed", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--opencv-doc", type=Path, default=OPENCV_DOC)
    options = parser.parse_args()
    spec = find_detector(DEMO_DETECTOR)
    detector = VideoDetector.load(spec if options.folder is None else replace(spec, folder=options.folder), "cpu")
    answers = evaluate(
        detector,
        options.seed,
        options.pairs,
        split=options.split,
        processes=options.processes,
        opencv_doc=options.opencv_doc,
    )
    print(table(answers))


if __name__ == "__main__":
    main()
