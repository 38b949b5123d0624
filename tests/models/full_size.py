"""One detector of the registry, with a full-size checkpoint of random weights, against plain transformers.

`python -m tests.models.full_size KEY FOLDER` writes the checkpoint into FOLDER as the hub's cache lays it out, loads
it as the worker does, scores a clip of real footage or sound, and prints a line of JSON:

- `odds`: our log-odds of fake
- `apart`: their difference from plain transformers', whose processor gets the frames that we resized
- `apart_resized`: the same with its own processor resizing the original frames by Pillow
- `load_seconds`, `score_seconds`, `peak_megabytes`
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torchcodec.decoders import AudioDecoder, VideoDecoder  # type: ignore[attr-defined]  # exported without __all__
from transformers.models.videomae.image_processing_pil_videomae import VideoMAEImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from examples.samples import film_path
from sentinel_worker.detectors import lock
from sentinel_worker.detectors.loading import load_detector
from sentinel_worker.detectors.registry import DetectorSpec, find_detector
from sentinel_worker.domain.media_facts import ClipGeometry
from sentinel_worker.media.decode import resize_frame

COMMIT = "0123456789abcdef0123456789abcdef01234567"
EDGE = 224

_IMAGENET: dict[str, Any] = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_HALVES: dict[str, Any] = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_SQUARE = {"height": EDGE, "width": EDGE}
_CROP: dict[str, Any] = {"size": {"shortest_edge": EDGE}, "crop_size": _SQUARE, "do_center_crop": True, **_IMAGENET}
_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
_PATCHES = {"image_size": EDGE, "patch_size": 16}
# wav2vec2 XLS-R 300M.
_SOUND = {
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}


@dataclass(frozen=True, slots=True)
class Model:
    """The library's classes, the contents of config.json and preprocessor_config.json, and the plain processor."""

    config: Any
    classifier: Any
    shape: dict[str, Any]
    labels: dict[int, str]
    preprocessor: dict[str, Any]
    process: Callable[[torch.Tensor], Any]


def _clip(processor: Any) -> Callable[[torch.Tensor], Any]:
    return lambda frames: processor([[*frames.permute(0, 2, 3, 1).numpy()]], return_tensors="pt")


def _picture(processor: Any) -> Callable[[torch.Tensor], Any]:
    return lambda frames: processor([*frames.permute(0, 2, 3, 1).numpy()], return_tensors="pt")


def _sound(sound: torch.Tensor) -> Any:
    extractor: Any = transformers.Wav2Vec2FeatureExtractor
    extract = extractor(do_normalize=True, return_attention_mask=True)
    return extract(sound.numpy(), sampling_rate=16_000, padding=True, return_tensors="pt")


_VIT = Model(
    transformers.ViTConfig,
    transformers.ViTForImageClassification,
    _BASE | _PATCHES,
    {0: "Realism", 1: "Deepfake"},
    {"image_processor_type": "ViTImageProcessor", "size": _SQUARE, **_HALVES},
    _picture(ViTImageProcessorPil(size=_SQUARE, **_HALVES)),
)
MODELS = {
    "video-large": Model(
        transformers.VideoMAEConfig,
        transformers.VideoMAEForVideoClassification,
        _LARGE | _PATCHES | {"num_frames": 32, "tubelet_size": 2},
        {0: "deepfake", 1: "real"},
        {"image_processor_type": "VideoMAEImageProcessor", **_CROP},
        _clip(VideoMAEImageProcessorPil(size=_SQUARE, do_center_crop=False, **_IMAGENET)),
    ),
    "video-base": Model(
        transformers.VideoMAEConfig,
        transformers.VideoMAEForVideoClassification,
        _BASE | _PATCHES | {"num_frames": 16, "tubelet_size": 2},
        {0: "FAKE", 1: "REAL"},
        {"image_processor_type": "VideoMAEImageProcessor", **_CROP},
        _clip(VideoMAEImageProcessorPil(**_CROP)),
    ),
    "image-vit": _VIT,
    "frames": _VIT,
    "audio-xlsr": Model(
        transformers.Wav2Vec2Config,
        transformers.Wav2Vec2ForSequenceClassification,
        _LARGE | _SOUND,
        {0: "real", 1: "fake"},
        {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": True, "sampling_rate": 16_000},
        _sound,
    ),
}


def main(key: str, folder: Path) -> dict[str, Any]:
    spec, model = find_detector(key), MODELS[key]
    snapshot = _write(spec, model, folder)
    begun = time.perf_counter()
    detector = load_detector(spec, "cpu")
    loaded = time.perf_counter()
    geometry = detector.geometry(30)
    original = _frames(geometry.frames) if isinstance(geometry, ClipGeometry) else _speech(geometry.samples)
    ours = (
        torch.stack([resize_frame(one, geometry) for one in original])
        if isinstance(geometry, ClipGeometry)
        else original
    )
    ready = time.perf_counter()
    odds = float(detector.score(ours[None]))
    scored = time.perf_counter()
    labels = detector.checkpoint.labels
    del detector
    gc.collect()
    plain = model.classifier.from_pretrained(snapshot).eval()
    apart = []
    for given in (ours, original):
        with torch.inference_mode():
            logits = plain(**model.process(given)).logits[0]
        theirs = logits[labels.fake_indices[0]] - logits[labels.real_indices[0]]
        apart.append(abs(float(theirs) - odds))
    return {
        "key": key,
        "odds": odds,
        "apart": apart[0],
        "apart_resized": apart[1],
        "load_seconds": loaded - begun,
        "score_seconds": scored - ready,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _write(spec: DetectorSpec, model: Model, cache: Path) -> Path:
    """Write the checkpoint as `models pull` leaves it: blobs by their hash, links in the snapshot, a record."""
    assert spec.repository is not None
    revision = spec.revision or COMMIT
    repository = cache / f"models--{spec.repository.replace('/', '--')}"
    blobs, snapshot = repository / "blobs", repository / "snapshots" / revision
    written = cache / "written"
    for made in (blobs, snapshot, written):
        made.mkdir(parents=True)
    torch.manual_seed(1)
    named = {"id2label": model.labels, "label2id": {name: index for index, name in model.labels.items()}}
    classifier = model.classifier(model.config(**model.shape, **named))
    with torch.no_grad():
        classifier.classifier.weight *= 20  # log-odds large enough to compare
    classifier.save_pretrained(written)
    (written / "preprocessor_config.json").write_text(json.dumps(model.preprocessor))
    files = {}
    for file in sorted(written.iterdir()):
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        files[file.name] = lock.PulledFile(digest, file.stat().st_size)
        file.rename(blobs / digest)
        (snapshot / file.name).symlink_to(Path("..") / ".." / "blobs" / digest)
    resolved = spec.revision is None
    lock.record(lock.Pull(spec.repository, revision, "2026-11-24T00:00:00+00:00", resolved=resolved, files=files))
    return snapshot


def _frames(count: int) -> torch.Tensor:
    """Frames of a man talking in a car, uint8 [count, 3, 144, 176]."""
    decoder = VideoDecoder(str(film_path("carphone_pristine.mp4")))
    return torch.stack([decoder.get_frame_at(3 * index).data for index in range(count)])


def _speech(count: int) -> torch.Tensor:
    """Samples of a film's sound track, float32 [count]."""
    decoder = AudioDecoder(str(film_path("bigbuckbunny.mp4")), sample_rate=16_000, num_channels=1)
    return decoder.get_all_samples().data[0, :count].contiguous()


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.stdout.write(json.dumps(main(sys.argv[1], Path(sys.argv[2]))) + "\n")
