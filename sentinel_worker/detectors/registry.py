"""Built-in detectors: where their weights are, and how to read their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.media_facts import FaceSearch, ResizeMode
from sentinel_worker.domain.verdict import VerdictRule
from sentinel_worker.domain.windows import FrameStep, WindowPolicy

Task = Literal["video", "image", "audio"]

DEFAULT_DETECTORS = ("video-large", "image-vit", "audio-xlsr")
DEMO_DETECTOR, DEMO_IMAGE, DEMO_AUDIO = "demo", "demo-image", "demo-audio"
DEMO_DETECTORS = (DEMO_DETECTOR, DEMO_IMAGE, DEMO_AUDIO)
"""Small ones for demonstrations and tests, one for each kind of media."""

# All models of the wav2vec2 family were trained on this rate.
SAMPLE_RATE = 16_000
TRAINED_STEP = FrameStep(seconds=4 / 30)
STILL_STEP = FrameStep(source_frames=1)
TOP_K = VerdictRule("top_k", fake_windows=2)
ONE_PICTURE = VerdictRule("mean", fake_windows=0)

_IMAGE_REPOSITORY = "prithivMLmods/Deep-Fake-Detector-v2-Model"
_IMAGE_LABELS_SOURCE = (
    "three independent evaluations: with the labels of its config.json the accuracy is 0.07 to 0.10, "
    "with the two swapped 0.93"
)
_IMAGE_NOTICE = "Weak on pictures unlike those that this detector was trained on: an AUC of 0.49 was measured there."


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """A detector: model, preprocessing, window policy and verdict rule.

    `task` is the model's input, `media_kind` the kind of requests that it answers: an image model may score the
    frames of videos. A clip has `window_policy.frames` frames, or samples at `sample_rate` hertz.

    Weights come from `folder` if set, else from `repository` at `revision` (40 hex digits; None: the one that
    `models pull` recorded) in the local cache. If `weights_sha256` (computed as in `Located.weights_sha256`) is
    set, other weights are refused. `fake_indices` overrides the checkpoint's label names, for the reason in
    `fake_indices_source`. `resize_mode` overrides its preprocessor_config.json. Without `faces` whole frames are
    scored. `remote_code`: the operator allows the checkpoint's code to run. `notice` goes into every result;
    without `commercial_use` the licence has to be accepted when the weights are pulled.

    `rule` includes the values of the file `calibration`, which was fitted on the weights with the SHA-256
    `calibrated_weights`. `known_fake` and `known_real` are files; the fakes must score above the reals on average.
    """

    key: str
    title: str
    window_policy: WindowPolicy
    rule: VerdictRule
    licence: str
    task: Task = "video"
    media_kind: Task = "video"
    commercial_use: bool = True
    notice: str | None = None
    repository: str | None = None
    revision: str | None = None
    folder: Path | None = None
    weights_sha256: str | None = None
    sample_rate: int = SAMPLE_RATE
    fake_indices: tuple[int, ...] | None = None
    fake_indices_source: str | None = None
    resize_mode: ResizeMode | None = None
    faces: FaceSearch | None = None
    remote_code: bool = False
    calibration: Path | None = None
    calibrated_weights: str | None = None
    known_fake: tuple[Path, ...] = ()
    known_real: tuple[Path, ...] = ()


_SPECS = (
    DetectorSpec(
        key="video-large",
        title="VideoMAE-L, fine-tuned on face crops of DFDC (AUC 0.976 on its author's 1,100 clips)",
        repository="shylhy/videomae-large-finetuned-deepfake-subset",
        revision="2cbeca77c171af587f215a7d262ab6c47cbcea17",
        window_policy=WindowPolicy(frames=32, step=TRAINED_STEP, budget=8, refine=2),
        rule=TOP_K,
        faces=FaceSearch(),
        licence="CC-BY-NC-4.0",
        commercial_use=False,
        notice="The weights of this detector are licensed CC BY-NC 4.0: not for commercial use.",
        fake_indices=(0,),
        fake_indices_source="model card: 0 = deepfake, 1 = real",
        resize_mode="squash",  # its author resized to 224 x 224 without preserving the aspect ratio
    ),
    DetectorSpec(
        key="video-base",
        title="VideoMAE-B, fine-tuned on a deepfake subset",
        repository="Ammar2k/videomae-base-finetuned-deepfake-subset",
        window_policy=WindowPolicy(frames=16, step=TRAINED_STEP),
        rule=TOP_K,
        licence="not stated",
        commercial_use=False,
        notice="The publisher of this detector's weights states no licence.",
    ),
    DetectorSpec(
        key="frames",
        title="ViT-B/16 for pictures, over frames sampled from a video",
        task="image",
        repository=_IMAGE_REPOSITORY,
        window_policy=WindowPolicy(frames=1, step=STILL_STEP, budget=16),
        rule=TOP_K,
        licence="Apache-2.0",
        notice=_IMAGE_NOTICE,
        fake_indices=(0,),
        fake_indices_source=_IMAGE_LABELS_SOURCE,
    ),
    DetectorSpec(
        key="image-vit",
        title="ViT-B/16 for pictures",
        task="image",
        media_kind="image",
        repository=_IMAGE_REPOSITORY,
        window_policy=WindowPolicy(frames=1, step=STILL_STEP, budget=8),
        rule=ONE_PICTURE,
        licence="Apache-2.0",
        notice=_IMAGE_NOTICE,
        fake_indices=(0,),
        fake_indices_source=_IMAGE_LABELS_SOURCE,
    ),
    DetectorSpec(
        key="audio-xlsr",
        title="wav2vec2 XLS-R 300M, fine-tuned on synthetic voices",
        task="audio",
        media_kind="audio",
        repository="garystafford/wav2vec2-deepfake-voice-detector",
        window_policy=WindowPolicy(frames=4 * SAMPLE_RATE, step=STILL_STEP, budget=16),
        rule=TOP_K,
        licence="Apache-2.0 (of the model it was fine-tuned from)",
    ),
    DetectorSpec(
        key="audio-arena",
        title="DF Arena 500M for voices (mean EER 5.1 % over 24 sets); runs its own code, which has to be allowed",
        task="audio",
        media_kind="audio",
        repository="Speech-Arena-2025/DF_Arena_500M_V_1",
        window_policy=WindowPolicy(frames=64_600, step=STILL_STEP, budget=16),
        rule=TOP_K,
        licence="custom, non-commercial",
        commercial_use=False,
        notice="The weights of this detector have a custom licence: not for commercial use.",
        fake_indices=(0,),
        fake_indices_source="model card: 0 = spoof, 1 = bonafide",
    ),
    DetectorSpec(
        key=DEMO_DETECTOR,
        title="A VideoMAE of 1 MB for demonstrations and tests",
        folder=Path(__file__).with_name("demo_checkpoint"),
        window_policy=WindowPolicy(frames=8, step=STILL_STEP),
        rule=VerdictRule("mean", fake_windows=0, suspicious_score=0.975),  # by examples.demo_checkpoint.windows
        licence="Apache-2.0",
        notice=(
            "This checkpoint detects one synthetic flicker manipulation made for demonstrations; "
            "it does not detect deepfakes."
        ),
    ),
    DetectorSpec(
        key=DEMO_IMAGE,
        title="A ViT of half a megabyte for demonstrations and tests",
        task="image",
        media_kind="image",
        folder=Path(__file__).with_name("demo_image_checkpoint"),
        window_policy=WindowPolicy(frames=1, step=STILL_STEP),
        rule=ONE_PICTURE,
        licence="Apache-2.0",
        notice=(
            "This checkpoint detects one synthetic checkerboard pattern made for demonstrations; "
            "it does not detect deepfakes."
        ),
    ),
    DetectorSpec(
        key=DEMO_AUDIO,
        title="A wav2vec2 of half a megabyte for demonstrations and tests",
        task="audio",
        media_kind="audio",
        folder=Path(__file__).with_name("demo_audio_checkpoint"),
        window_policy=WindowPolicy(frames=3 * SAMPLE_RATE, step=STILL_STEP, budget=16),
        rule=VerdictRule("mean", fake_windows=0),
        licence="Apache-2.0",
        notice=(
            "This checkpoint detects one synthetic flicker of sound made for demonstrations; "
            "it does not detect deepfakes."
        ),
    ),
)

DETECTORS: Mapping[str, DetectorSpec] = {spec.key: spec for spec in _SPECS}


def split_keys(text: str) -> list[str]:
    """Split a text such as `video-large, image-vit` into keys."""
    return [key.strip() for key in text.split(",") if key.strip()]


def find_detector(key: str, detectors: Mapping[str, DetectorSpec] = DETECTORS) -> DetectorSpec:
    """Return the spec of `key`; raises Fatal('unknown_detector'), which lists the known keys."""
    return find_detectors([key], detectors)[0]


def find_detectors(keys: Sequence[str], detectors: Mapping[str, DetectorSpec]) -> list[DetectorSpec]:
    """Return the specs of `keys`, in this order; raises Fatal('unknown_detector'), which names all unknown keys."""
    unknown = " or ".join(f"'{key}'" for key in keys if key not in detectors)
    if unknown:
        raise Fatal("unknown_detector", f"Unknown detector {unknown}; choose from {', '.join(sorted(detectors))}.")
    return [detectors[key] for key in keys]
