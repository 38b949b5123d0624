"""Train the demo checkpoint for pictures: `python -m examples.demo_image_checkpoint.train OUT [--pairs N] …`.

Deterministic on one machine type: one thread and fixed seeds. It is run by hand and its result is committed; tests
measure the committed file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import ViTForImageClassification

from examples.demo_checkpoint.footage import chance
from examples.demo_image_checkpoint.dataset import PicturePairs, generate
from examples.demo_image_checkpoint.model import TokenHead, make_model
from examples.demo_image_checkpoint.tamper import EDGE
from examples.training import Recipe, digest, fit, use_one_thread

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

TRAIN_SEED, VALIDATION_SEED, VALIDATION_PAIRS = 100, 200, 150
_MEAN, _STD = 0.5, 0.5
_MASK_POSITIVE_WEIGHT = 3.0


def train(pairs: PicturePairs, validation: PicturePairs, recipe: Recipe) -> ViTForImageClassification:
    """Train from scratch; prints loss and validation accuracy."""
    model = make_model(recipe.seed)
    head = TokenHead(model.config.hidden_size)
    rng = np.random.default_rng(recipe.seed)
    fit(
        model,
        [*model.parameters(), *head.parameters()],
        recipe,
        lambda: _loss(model, head, _batch(rng, pairs, recipe.pairs_per_batch), recipe.label_smoothing),
        lambda: validate(model, validation),
    )
    return model


def _batch(rng: np.random.Generator, pairs: PicturePairs, count: int) -> Batch:
    """Return pictures [2 * count, 3, H, W] in 0..1, clean then tampered, labels, and masks [2 * count, 16, 16].

    Both pictures of a pair have the same flips, order of channels, gain and offset.
    """
    pictures, masks = [], []
    for index in rng.integers(0, len(pairs.pictures), count):
        pair = torch.from_numpy(pairs.pictures[index].astype(np.float32) / 255)
        mask = torch.from_numpy(pairs.masks[index].astype(np.float32))
        for axis in (-1, -2):
            if chance(rng, 0.5):
                pair, mask = pair.flip(axis), mask.flip(axis)
        if chance(rng, 0.5):
            pair = pair.transpose(-1, -2)
            mask = mask.transpose(-1, -2)
        if chance(rng, 0.5):
            pair = pair[:, torch.from_numpy(rng.permutation(3))]
        gain, offset = float(rng.uniform(0.75, 1.2)), float(rng.uniform(-0.12, 0.12))
        pictures.append((pair * gain + offset).clamp(0, 1))
        masks.append(mask)
    stacked = torch.stack(pictures)
    region = torch.stack(masks)
    labels = torch.cat([torch.zeros(count), torch.ones(count)]).long()
    return torch.cat([stacked[:, 0], stacked[:, 1]]), labels, torch.cat([torch.zeros_like(region), region])


def _loss(model: ViTForImageClassification, head: TokenHead, batch: Batch, label_smoothing: float) -> torch.Tensor:
    pictures, labels, masks = batch
    tokens = model.vit((pictures - _MEAN) / _STD).last_hidden_state
    logits = model.classifier(tokens[:, 0])
    weight = torch.tensor(_MASK_POSITIVE_WEIGHT)
    located = functional.binary_cross_entropy_with_logits(head(tokens[:, 1:]), masks.flatten(1), pos_weight=weight)
    return functional.cross_entropy(logits, labels, label_smoothing=label_smoothing) + located


@torch.inference_mode()
def validate(model: ViTForImageClassification, pairs: PicturePairs) -> float:
    """Return the share of right answers."""
    model.train(False)
    right = 0
    for pictures in np.array_split(pairs.pictures, max(1, len(pairs.pictures) // 16)):
        flat = torch.from_numpy(pictures.astype(np.float32) / 255).flatten(0, 1)
        logits = model((flat - _MEAN) / _STD).logits
        answers = (logits[:, 1] > logits[:, 0]).view(-1, 2)
        right += int((~answers[:, 0]).sum() + answers[:, 1].sum())
    return right / (2 * len(pairs.pictures))


def save(model: ViTForImageClassification, folder: Path) -> None:
    """Write config.json, model.safetensors (16 bit) and preprocessor_config.json, as on the hub."""
    model.half().save_pretrained(folder)  # type: ignore[no-untyped-call]
    preprocessing = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": EDGE, "width": EDGE},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [_MEAN] * 3,
        "image_std": [_STD] * 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing, indent=2) + "\n")


def main() -> None:
    """Parse the arguments, make the data, train, save, and print the digest of the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=2200)
    parser.add_argument("--validation-pairs", type=int, default=VALIDATION_PAIRS)
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    use_one_thread()
    training = generate("train", TRAIN_SEED, options.pairs, options.processes)
    validation = generate("validation", VALIDATION_SEED, options.validation_pairs, options.processes)
    save(train(training, validation, Recipe(options.steps, seed=options.seed)), options.folder)
    print(f"SHA-256 of the weights: {digest(options.folder)}")


if __name__ == "__main__":
    main()
