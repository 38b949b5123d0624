"""The demo checkpoint's architecture, its initialisation, and a head that is used only in training."""

from __future__ import annotations

import math

import torch
from torch import nn
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from examples.demo_checkpoint.dataset import EDGE, PATCH

WINDOW = 8
TUBELET = 2
# Share of the patch filters that take the difference of the two frames of a tubelet, and their gain;
# the rest take the mean. Flicker is a difference: with random filters training does not get beyond chance.
_DIFFERENCE_SHARE = 5 / 8
_DIFFERENCE_GAIN = 1.0
_MEAN_GAIN = 0.15


def make_model(seed: int) -> VideoMAEForVideoClassification:
    """Create a VideoMAE with 0.25 million parameters; label 0 is real, label 1 is fake."""
    torch.manual_seed(seed)
    config = VideoMAEConfig(
        image_size=EDGE,
        patch_size=PATCH,
        num_frames=WINDOW,
        tubelet_size=TUBELET,
        hidden_size=96,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=192,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        use_mean_pooling=True,
        id2label={0: "real", 1: "fake"},
        label2id={"real": 0, "fake": 1},
    )
    model = VideoMAEForVideoClassification(config)
    with torch.no_grad():
        projection = model.videomae.embeddings.patch_embeddings.projection
        projection.weight.copy_(_dct_filters(config.hidden_size))
        assert projection.bias is not None
        projection.bias.zero_()
    return model


class TokenHead(nn.Module):
    """Classifies for each token if its patch was tampered with. Discarded after training."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size)
        self.out = nn.Linear(hidden_size, 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return logits [N, tokens] for hidden states [N, tokens, hidden]."""
        logits: torch.Tensor = self.out(self.norm(tokens))[..., 0]
        return logits


def _dct_filters(count: int) -> torch.Tensor:
    """Return patch filters [count, 3, TUBELET, PATCH, PATCH]: low frequencies of luma and two colour axes."""
    differences = round(count * _DIFFERENCE_SHARE)
    filters = torch.zeros(count, 3, TUBELET, PATCH, PATCH)
    in_time = {
        "difference": torch.tensor([1.0, -1.0]) / math.sqrt(2) * _DIFFERENCE_GAIN,
        "mean": torch.tensor([1.0, 1.0]) / math.sqrt(2) * _MEAN_GAIN,
    }
    for offset, number, kind in ((0, differences, "difference"), (differences, count - differences, "mean")):
        for index, spatial in enumerate(_spatial_filters(number)):
            filters[offset + index] = torch.einsum("cyx,t->ctyx", spatial, in_time[kind])
    return filters


def _spatial_filters(number: int) -> list[torch.Tensor]:
    """Return the first `number` DCT filters [3, PATCH, PATCH] by frequency; luma has more than a colour axis."""
    axes = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [-0.5, 1.0, -0.5]])
    axes = axes / axes.norm(dim=1, keepdim=True)
    place = torch.arange(PATCH) + 0.5
    waves = torch.stack([torch.cos(math.pi * k * place / PATCH) for k in range(PATCH)])
    waves = waves / waves.norm(dim=1, keepdim=True)
    ranked = sorted(
        ((ky + kx) * (1 if axis == 0 else 2), axis, ky, kx)
        for axis in range(3)
        for ky in range(PATCH)
        for kx in range(PATCH)
    )
    return [torch.einsum("c,y,x->cyx", axes[axis], waves[ky], waves[kx]) for _, axis, ky, kx in ranked[:number]]
