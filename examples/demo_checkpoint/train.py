"""Train the demo checkpoint: `python -m examples.demo_checkpoint.train OUT [--pairs N] [--steps N] …`.

Deterministic on one machine type: one thread, fixed seeds, single-threaded encodes. It is run by hand and its
result is committed; tests measure the committed file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import VideoMAEForVideoClassification

from examples.demo_checkpoint.dataset import EDGE, Pairs, generate
from examples.demo_checkpoint.footage import chance
from examples.demo_checkpoint.model import WINDOW, TokenHead, make_model
from examples.demo_checkpoint.sources import OPENCV_DOC, Split
from examples.training import Recipe, fit, use_one_thread

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

TRAIN_SEED, VALIDATION_SEED, VALIDATION_PAIRS = 100, 200, 150
_MEAN, _STD = 0.5, 0.5
_MASK_POSITIVE_WEIGHT = 4.0


def train(
    pairs: Pairs, validation: Pairs, recipe: Recipe, start_from: Path | None = None
) -> VideoMAEForVideoClassification:
    """Train from scratch or continue from a saved model; prints loss and validation accuracy."""
    model = make_model(recipe.seed)
    if start_from is not None:
        model = VideoMAEForVideoClassification.from_pretrained(start_from, local_files_only=True)
    head = TokenHead(model.config.hidden_size)
    parameters = [*model.parameters(), *head.parameters()]
    rng = np.random.default_rng(recipe.seed)
    fit(
        model,
        parameters,
        recipe,
        lambda: _loss(model, head, _batch(rng, pairs, recipe.pairs_per_batch), recipe.label_smoothing),
        lambda: validate(model, validation),
    )
    return model


def _batch(rng: np.random.Generator, pairs: Pairs, count: int) -> Batch:
    """Return windows [2 * count, T, 3, H, W] in 0..1, clean then tampered, labels, and masks [2 * count, 8, 8].

    Both windows of a pair have the same position, flip, direction of time, order of channels, gain and offset.
    """
    windows, masks = [], []
    for index in rng.integers(0, len(pairs.clips), count):
        start = int(rng.integers(0, pairs.clips.shape[2] - WINDOW + 1))
        window = torch.from_numpy(pairs.clips[index, :, start : start + WINDOW].astype(np.float32) / 255)
        mask = torch.from_numpy(pairs.masks[index].astype(np.float32))
        if chance(rng, 0.5):
            window, mask = window.flip(-1), mask.flip(-1)
        if chance(rng, 0.2):
            window, mask = window.flip(-2), mask.flip(-2)
        if chance(rng, 0.5):
            window = window.flip(1)
        if chance(rng, 0.5):
            window = window[:, :, torch.from_numpy(rng.permutation(3))]
        gain, offset = float(rng.uniform(0.75, 1.2)), float(rng.uniform(-0.12, 0.12))
        windows.append((window * gain + offset).clamp(0, 1))
        masks.append(mask)
    stacked = torch.stack(windows)
    region = torch.stack(masks)
    labels = torch.cat([torch.zeros(count), torch.ones(count)]).long()
    return (
        torch.cat([stacked[:, 0], stacked[:, 1]]),
        labels,
        torch.cat([torch.zeros_like(region), region]),
    )


def _loss(
    model: VideoMAEForVideoClassification,
    head: TokenHead,
    batch: Batch,
    label_smoothing: float,
) -> torch.Tensor:
    windows, labels, masks = batch
    tokens = model.videomae((windows - _MEAN) / _STD).last_hidden_state
    assert model.fc_norm is not None
    logits = model.classifier(model.fc_norm(tokens.mean(1)))
    times = tokens.shape[1] // masks[0].numel()
    target = masks.flatten(1).repeat(1, times)
    weight = torch.tensor(_MASK_POSITIVE_WEIGHT)
    located = functional.binary_cross_entropy_with_logits(head(tokens), target, pos_weight=weight)
    return functional.cross_entropy(logits, labels, label_smoothing=label_smoothing) + located


@torch.inference_mode()
def validate(model: VideoMAEForVideoClassification, pairs: Pairs) -> float:
    """Return the accuracy of the mean of three windows."""
    model.train(False)
    length = pairs.clips.shape[2]
    starts = [0, (length - WINDOW) // 2, length - WINDOW]
    right = 0
    for clips in np.array_split(pairs.clips, max(1, len(pairs.clips) // 16)):
        flat = torch.from_numpy(clips.astype(np.float32) / 255).flatten(0, 1)
        odds = torch.zeros(len(flat))
        for start in starts:
            logits = model((flat[:, start : start + WINDOW] - _MEAN) / _STD).logits
            odds += logits[:, 1] - logits[:, 0]
        answers = (odds > 0).view(-1, 2)
        right += int((~answers[:, 0]).sum() + answers[:, 1].sum())
    return right / (2 * len(pairs.clips))


def save(model: VideoMAEForVideoClassification, folder: Path) -> None:
    """Write config.json, model.safetensors and preprocessor_config.json, as on the hub."""
    model.save_pretrained(folder)
    preprocessing = {
        "image_processor_type": "VideoMAEImageProcessor",
        "do_resize": True,
        "size": {"height": EDGE, "width": EDGE},
        "resample": 2,
        "do_center_crop": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [_MEAN] * 3,
        "image_std": [_STD] * 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing, indent=2) + "\n")


def main() -> None:
    """Parse the arguments, make the data (or read it from --cache), train, and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start-from", type=Path, help="folder of a checkpoint to continue from")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--opencv-doc", type=Path, default=OPENCV_DOC)
    parser.add_argument("--cache", type=Path, help="folder for the generated pairs")
    options = parser.parse_args()
    use_one_thread()
    training = _pairs("train", TRAIN_SEED, options.pairs, options)
    validation = _pairs("validation", VALIDATION_SEED, VALIDATION_PAIRS, options)
    recipe = Recipe(options.steps, learning_rate=options.learning_rate, seed=options.seed)
    save(train(training, validation, recipe, options.start_from), options.folder)


def _pairs(split: Split, seed: int, count: int, options: argparse.Namespace) -> Pairs:
    kept: Path | None = options.cache / f"{split}-{seed}-{count}.npz" if options.cache else None
    if kept is not None and kept.exists():
        return Pairs.load(kept)
    made = generate(split, seed, count, options.processes, options.opencv_doc)
    if kept is not None:
        made.save(kept)
    return made


if __name__ == "__main__":
    main()
