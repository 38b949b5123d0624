"""The detectors that this worker knows: where their weights are, and how their answers are to be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sentinel_worker.errors import Fatal
from sentinel_worker.media.facts import ResizeMode
from sentinel_worker.media.windows import FrameStep, WindowPolicy
from sentinel_worker.verdict import VerdictRule

MediaKind = Literal["video", "image", "audio"]

DEFAULT_VIDEO_DETECTOR = "video-large"
DEMO_DETECTOR = "demo"

_DEMO_FOLDER = Path(__file__).parent.parent / "local" / "demo_checkpoint"
_TRAINED_STEP = FrameStep(seconds=4 / 30)
_TOP_K = VerdictRule("top_k", fake_windows=2)


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """A detector: model, preprocessing, and how its windows are chosen and judged.

    Weights come from `folder` where it is set, else from `repository` at `revision` (40 hex digits) in the
    local cache. `fake_indices` overrides the checkpoint's label names, for the reason in
    `fake_indices_source`. `resize_mode` overrides its preprocessor_config.json. `notice` goes into every
    result.
    """

    key: str
    title: str
    window_policy: WindowPolicy
    rule: VerdictRule
    licence: str
    notice: str | None = None
    media_kind: MediaKind = "video"
    repository: str | None = None
    revision: str | None = None
    folder: Path | None = None
    fake_indices: tuple[int, ...] | None = None
    fake_indices_source: str | None = None
    resize_mode: ResizeMode | None = None


DETECTORS: Mapping[str, DetectorSpec] = {
    "video-large": DetectorSpec(
        key="video-large",
        title="VideoMAE-L, fine-tuned on face crops of DFDC (AUC 0.976 on its author's 1,100 clips)",
        repository="shylhy/videomae-large-finetuned-deepfake-subset",
        revision="2cbeca77c171af587f215a7d262ab6c47cbcea17",
        window_policy=WindowPolicy(frames=32, step=_TRAINED_STEP),
        rule=_TOP_K,
        licence="CC-BY-NC-4.0",
        notice="The weights of this detector are licensed CC BY-NC 4.0: not for commercial use.",
        fake_indices=(0,),
        fake_indices_source="model card: 0 = deepfake, 1 = real",
        resize_mode="squash",  # its author resized to 224 x 224 without keeping the aspect ratio
    ),
    "video-base": DetectorSpec(
        key="video-base",
        title="VideoMAE-B, fine-tuned on a deepfake subset; no revision is pinned, so it needs a folder",
        repository="Ammar2k/videomae-base-finetuned-deepfake-subset",
        window_policy=WindowPolicy(frames=16, step=_TRAINED_STEP),
        rule=_TOP_K,
        licence="not stated",
        notice="The publisher of this detector's weights states no licence.",
    ),
    "demo": DetectorSpec(
        key="demo",
        title="A VideoMAE of 1 MB for demonstrations and tests",
        folder=_DEMO_FOLDER,
        window_policy=WindowPolicy(frames=8, step=FrameStep(source_frames=1)),
        rule=VerdictRule("mean", fake_windows=0),
        licence="Apache-2.0",
        notice=(
            "This checkpoint detects one synthetic flicker manipulation made for demonstrations; "
            "it does not detect deepfakes."
        ),
    ),
}


def find_detector(key: str, folder: Path | None = None) -> DetectorSpec:
    """The spec of `key`, with its weights in `folder` where one is given.

    An unknown key is allowed together with a folder: any VideoMAE classifier whose config.json names its
    frames and whose labels can be read. Otherwise raises Fatal('unknown_detector').
    """
    spec = DETECTORS.get(key)
    if spec is not None:
        return spec if folder is None else replace(spec, folder=folder)
    if folder is None:
        raise Fatal("unknown_detector", f"There is no detector '{key}'; known are {', '.join(sorted(DETECTORS))}.")
    return DetectorSpec(
        key=key,
        title="The operator's own checkpoint",
        folder=folder,
        window_policy=WindowPolicy(frames=_frames(folder), step=_TRAINED_STEP),
        rule=_TOP_K,
        licence="the operator's",
    )


def _frames(folder: Path) -> int:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return int(config["num_frames"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Fatal(
            "checkpoint_invalid", "The detector's config.json cannot be read or names no num_frames."
        ) from error
