"""Measures how far our preprocessing is from transformers' own: `python -m tests.integration.detectors.parity`.

Ours resizes with torch on uint8 in the media child and normalises on the device; theirs uses Pillow and numpy. Both
resize in two passes, round to whole grey levels after each, and may round a pixel differently. That moves a pixel by
one level with the bilinear filter, and by two with the bicubic one, whose second pass has weights above 1. One level is
1 / (255 * std) of the normalised tensor. Sound is compared in float32: numpy and torch add 64,000 samples in different
orders, which moves a value by less than 1e-6 of the largest one. The effect on P(fake) is measured with small random
models whose log-odds are between -3 and 24, so they are far more sensitive than a trained model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from torchcodec.decoders import VideoDecoder  # type: ignore[attr-defined]  # exported without __all__
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.videomae.image_processing_pil_videomae import VideoMAEImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from examples.samples import film_path
from sentinel_worker.detectors.preprocess import Preprocessing
from sentinel_worker.detectors.sound import SoundPreprocessing
from sentinel_worker.domain.media_facts import ResizeMode
from sentinel_worker.media.decode import resize_frame

EDGE, SAMPLES = 224, 64_000
GREY_LEVELS = {"bilinear": 1.01, "bicubic": 2.01}  # with float32 rounding
SOUND_TOLERANCE = 1e-6
PROBABILITY_TOLERANCE = 0.02

_IMAGENET: dict[str, Any] = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_HALVES: dict[str, Any] = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.3,
}
_SQUARE: dict[str, int] = {"height": EDGE, "width": EDGE}


@dataclass(frozen=True, slots=True)
class PictureCase:
    """A checkpoint's preprocessor_config.json, the library's class for it, and our override."""

    config: Mapping[str, Any]
    processor: Any
    override: ResizeMode | None = None


CASES: Mapping[str, PictureCase] = {
    # Its own file may say shortest edge and crop; its author squashed, so the comparison squashes too.
    "video-large": PictureCase(
        {"image_processor_type": "VideoMAEImageProcessor", "size": {"shortest_edge": EDGE}, "crop_size": _SQUARE}
        | _IMAGENET,
        VideoMAEImageProcessorPil(size=_SQUARE, do_center_crop=False, **_IMAGENET),
        "squash",
    ),
    "video-base": PictureCase(
        {"image_processor_type": "VideoMAEImageProcessor", "size": {"shortest_edge": EDGE}, "crop_size": _SQUARE}
        | _IMAGENET,
        VideoMAEImageProcessorPil(size={"shortest_edge": EDGE}, crop_size=_SQUARE, **_IMAGENET),
    ),
    "image-vit, frames": PictureCase(
        {"image_processor_type": "ViTImageProcessor", "size": _SQUARE} | _HALVES,
        ViTImageProcessorPil(size=_SQUARE, **_HALVES),
    ),
    "a SigLIP": PictureCase(
        {"image_processor_type": "SiglipImageProcessor", "size": _SQUARE} | _HALVES,
        SiglipImageProcessorPil(size=_SQUARE, **_HALVES),
    ),
    "a ConvNeXt": PictureCase(
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": EDGE}} | _IMAGENET,
        ConvNextImageProcessorPil(size={"shortest_edge": EDGE}, **_IMAGENET),
    ),
}


@dataclass(frozen=True, slots=True)
class Row:
    """Largest absolute differences: of the normalised tensor, of the same in grey levels (for sound: relative to the
    largest value), and of P(fake). `tolerance` applies to `units`.
    """

    checkpoint: str
    source: str
    tolerance: float
    tensor: float
    units: float
    probability: float


def measure() -> Iterator[Row]:
    """Yield a row for every checkpoint's configuration on every source."""
    with torch.inference_mode():
        model, pictures = _picture_model(), _pictures()
        for checkpoint, case in CASES.items():
            for source, frames in pictures.items():
                yield _picture_row(checkpoint, case, source, frames, model)
        listener = _sound_model()
        for normalised in (True, False):
            checkpoint = "audio-xlsr" if normalised else "the same, do_normalize off"
            for source, sound in _sounds().items():
                yield _sound_row(checkpoint, source, sound, listener, normalised=normalised)


def table(rows: list[Row]) -> str:
    """Return the rows as a text table."""
    head = f"{'configuration of':28}{'source':28}{'tensor':>10}{'grey levels':>13}{'at most':>9}{'P(fake)':>10}"
    lines = [
        f"{row.checkpoint:28}{row.source:28}{row.tensor:10.2g}{row.units:13.2g}{row.tolerance:9.2g}"
        f"{row.probability:10.2g}"
        for row in rows
    ]
    return "\n".join([head, *lines])


def _picture_row(checkpoint: str, case: PictureCase, source: str, frames: torch.Tensor, model: Any) -> Row:
    preprocessing = Preprocessing.from_config(case.config, case.override)
    geometry = preprocessing.geometry(len(frames), 0.04)
    clip = torch.stack([resize_frame(frame, geometry) for frame in frames])
    ours = preprocessing.normalise(clip[None], torch.float32)[0]
    theirs = torch.stack([_processed(case.processor, frame) for frame in frames])
    apart = (ours - theirs).abs()
    std = torch.tensor(preprocessing.std).view(1, 3, 1, 1)
    levels = float((apart * std).max() * 255)
    tolerance = GREY_LEVELS[preprocessing.resample]
    return Row(checkpoint, source, tolerance, float(apart.max()), levels, _moved(model, ours, theirs))


def _processed(processor: Any, frame: torch.Tensor) -> torch.Tensor:
    picture = Image.fromarray(frame.permute(1, 2, 0).numpy())
    values = processor(picture, return_tensors="np")["pixel_values"]
    return torch.from_numpy(np.asarray(values, dtype=np.float32)).view(3, EDGE, EDGE)


def _sound_row(checkpoint: str, source: str, sound: torch.Tensor, model: Any, *, normalised: bool) -> Row:
    config = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": normalised}
    ours = SoundPreprocessing.from_config(config, 16_000).normalise(sound[None], torch.float32)
    extractor: Any = transformers.Wav2Vec2FeatureExtractor
    extract = extractor(do_normalize=normalised, return_attention_mask=True)
    theirs = extract(sound.numpy(), sampling_rate=16_000, return_tensors="pt")["input_values"]
    apart = float((ours - theirs).abs().max())
    share = apart / float(theirs.abs().max())
    return Row(checkpoint, source, SOUND_TOLERANCE, apart, share, _moved(model, ours, theirs))


def _moved(model: Any, ours: torch.Tensor, theirs: torch.Tensor) -> float:
    fake = [model(values).logits.softmax(1)[:, 1] for values in (ours, theirs)]
    return float((fake[0] - fake[1]).abs().max())


def _picture_model() -> Any:
    torch.manual_seed(2)
    config = transformers.ViTConfig(image_size=EDGE, patch_size=16, **_SHAPE)
    model: Any = transformers.ViTForImageClassification(config)
    return model.eval()


def _sound_model() -> Any:
    torch.manual_seed(2)
    config = transformers.Wav2Vec2Config(
        conv_dim=(32,) * 7, feat_extract_norm="layer", conv_bias=True, vocab_size=8, **_SHAPE
    )
    model: Any = transformers.Wav2Vec2ForSequenceClassification(config)
    return model.eval()


def _pictures() -> dict[str, torch.Tensor]:
    """Frames uint8 [T, 3, H, W]."""
    films = {name: _film(f"{name}.mp4") for name in ("carphone_pristine", "bikes", "bigbuckbunny")}
    generator = torch.Generator().manual_seed(4)
    noise = torch.randint(0, 256, (1, 3, 301, 403), dtype=torch.uint8, generator=generator)
    ramp = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 1, 1, 768)
    sources = {f"{name} {_shape(frames)}": frames for name, frames in films.items()}
    sources[f"bikes, odd {_shape(films['bikes'][..., 7:270, 3:500])}"] = films["bikes"][..., 7:270, 3:500]
    sources["bikes, enlarged 64 x 48"] = films["bikes"][..., 100:148, 100:164].contiguous()
    sources["grey ramp 768 x 300"] = ramp.expand(1, 3, 300, 768).contiguous()
    return sources | {"noise 403 x 301": noise}


def _film(name: str) -> torch.Tensor:
    decoder = VideoDecoder(str(film_path(name)))
    return torch.stack([decoder.get_frame_at(index).data for index in (0, 40, 90)])


def _shape(frames: torch.Tensor) -> str:
    return f"{frames.shape[-1]} x {frames.shape[-2]}"


def _sounds() -> dict[str, torch.Tensor]:
    """Mono sound float32 [SAMPLES], -1 to 1."""
    seconds = torch.arange(SAMPLES) / 16_000
    noise = torch.randn(SAMPLES, generator=torch.Generator().manual_seed(4))
    return {
        "tone": 0.5 * torch.sin(2 * torch.pi * 220 * seconds),
        "noise": (0.2 * noise).clamp(-1, 1),
        "quiet, far from zero": 0.001 * noise + 0.3,
        "full scale": torch.sign(torch.sin(2 * torch.pi * 50 * seconds)),
    }


if __name__ == "__main__":
    sys.stdout.write(table(list(measure())) + "\n")
