"""The optimiser's loop of the demo checkpoints: AdamW, warm-up, cosine, reports. Deterministic on one thread."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

_REPORT_STEPS = 250


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hyperparameters; a batch has `pairs_per_batch` clean examples and as many tampered ones."""

    steps: int
    pairs_per_batch: int = 8
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    warm_up: int = 100
    label_smoothing: float = 0.02
    seed: int = 0


def use_one_thread() -> None:
    """Make torch deterministic, which it is only with a fixed number of threads."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def digest(folder: Path) -> str:
    """Return the SHA-256 of the weights in a checkpoint's folder, in hexadecimal digits."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def fit(
    model: nn.Module,
    parameters: Sequence[nn.Parameter],
    recipe: Recipe,
    loss_of_batch: Callable[[], torch.Tensor],
    validate: Callable[[], float],
) -> None:
    """Train `parameters` for `recipe.steps` steps; prints loss and validation accuracy."""
    optimiser = torch.optim.AdamW(
        parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.99)
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, recipe))
    started = time.monotonic()
    for step in range(recipe.steps):
        model.train()
        loss = loss_of_batch()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        if (step + 1) % _REPORT_STEPS == 0 or step + 1 == recipe.steps:
            accuracy = validate()
            seconds = time.monotonic() - started
            print(f"{step + 1} {seconds:.0f}s loss {loss.item():.3f} validation {accuracy:.3f}", flush=True)


def _rate(step: int, recipe: Recipe) -> float:
    if step < recipe.warm_up:
        return (step + 1) / recipe.warm_up
    done = (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
    return 0.5 * (1 + math.cos(math.pi * done))
