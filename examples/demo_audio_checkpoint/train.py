"""Train the demo checkpoint for sound: `python -m examples.demo_audio_checkpoint.train OUT [--pairs N] …`.

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
from transformers import Wav2Vec2ForSequenceClassification

from examples.demo_audio_checkpoint.dataset import SoundPairs, generate
from examples.demo_audio_checkpoint.model import TOKEN, WINDOW, TokenHead, make_model
from examples.demo_audio_checkpoint.voices import RATE
from examples.demo_checkpoint.footage import chance
from examples.training import Recipe, digest, fit, use_one_thread

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

TRAIN_SEED, VALIDATION_SEED, VALIDATION_PAIRS = 100, 200, 100
_SMALLEST_SHARE = 0.5
_EPSILON = 1e-7


def train(pairs: SoundPairs, validation: SoundPairs, recipe: Recipe) -> Wav2Vec2ForSequenceClassification:
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


def _batch(rng: np.random.Generator, pairs: SoundPairs, count: int) -> Batch:
    """Return windows [2 * count, S] as the worker normalises them, clean then tampered, labels, and the tampered share
    of each token [2 * count, tokens]. Both windows of a pair have the same position, direction and sign."""
    clean: list[torch.Tensor] = []
    tampered: list[torch.Tensor] = []
    shares: list[torch.Tensor] = []
    while len(clean) < count:
        pair = pairs.sounds[int(rng.integers(len(pairs.sounds)))]
        start = int(rng.integers(0, pair.shape[1] - WINDOW + 1))
        window = torch.from_numpy(pair[:, start : start + WINDOW].astype(np.float32))
        if chance(rng, 0.3):
            window = window.flip(1)
        if float(window[2].mean()) < _SMALLEST_SHARE or min(float(line.std()) for line in window[:2]) < 1e-3:
            continue
        sign = 1 if chance(rng, 0.5) else -1
        clean.append(sign * window[0])
        tampered.append(sign * window[1])
        shares.append(functional.avg_pool1d(window[2][None], TOKEN)[0])
    lines = torch.stack([*clean, *tampered])
    labels = torch.cat([torch.zeros(count), torch.ones(count)]).long()
    share = torch.stack(shares)
    return normalise(lines), labels, torch.cat([torch.zeros_like(share), share])


def normalise(lines: torch.Tensor) -> torch.Tensor:
    """Give each sound [N, S] zero mean and unit variance, as Wav2Vec2FeatureExtractor does."""
    variance, mean = torch.var_mean(lines, dim=1, correction=0, keepdim=True)
    return (lines - mean) / torch.sqrt(variance + _EPSILON)


def _loss(
    model: Wav2Vec2ForSequenceClassification, head: TokenHead, batch: Batch, label_smoothing: float
) -> torch.Tensor:
    windows, labels, shares = batch
    tokens = model.wav2vec2(windows).last_hidden_state
    logits = model.classifier(model.projector(tokens).mean(1))
    located = functional.binary_cross_entropy_with_logits(head(tokens), shares[:, : tokens.shape[1]])
    return functional.cross_entropy(logits, labels, label_smoothing=label_smoothing) + located


@torch.inference_mode()
def validate(model: Wav2Vec2ForSequenceClassification, pairs: SoundPairs) -> float:
    """Return the share of right answers about the middle window of each sound."""
    model.train(False)
    right = 0
    for pair in pairs.sounds:
        start = (pair.shape[1] - WINDOW) // 2
        logits = model(normalise(torch.from_numpy(pair[:2, start : start + WINDOW].astype(np.float32)))).logits
        clean, tampered = (logits[:, 1] > logits[:, 0]).tolist()
        right += (not clean) + tampered
    return right / (2 * len(pairs.sounds))


def save(model: Wav2Vec2ForSequenceClassification, folder: Path) -> None:
    """Write config.json, model.safetensors (16 bit) and preprocessor_config.json, as on the hub."""
    model.half().save_pretrained(folder)  # type: ignore[no-untyped-call]
    preprocessing = {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "sampling_rate": RATE,
        "padding_value": 0.0,
        "do_normalize": True,
        "return_attention_mask": False,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing, indent=2) + "\n")


def main() -> None:
    """Parse the arguments, make the data, train, save, and print the digest of the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=1600)
    parser.add_argument("--validation-pairs", type=int, default=VALIDATION_PAIRS)
    parser.add_argument("--steps", type=int, default=1200)
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
