"""The architecture of the demo checkpoint for pictures, and a head that is used only in training."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import nn
from transformers import ViTConfig, ViTForImageClassification

from examples.demo_image_checkpoint.dataset import PATCH
from examples.demo_image_checkpoint.tamper import EDGE

# The pattern has three to seven half waves in a patch, and a tenth of the strength of the picture underneath: with
# random filters training does not get beyond chance.
_OF_PATTERN = range(3, 8)
_PATTERN_GAIN, _PICTURE_GAIN = 2.0, 0.15
_LUMA, *_COLOURS = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (-0.5, 1.0, -0.5))


def make_model(seed: int) -> ViTForImageClassification:
    """Create a ViT with a quarter of a million parameters; label 0 is real, label 1 is fake."""
    torch.manual_seed(seed)
    config = ViTConfig(
        image_size=EDGE,
        patch_size=PATCH,
        hidden_size=96,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=192,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        id2label={0: "real", 1: "fake"},
        label2id={"real": 0, "fake": 1},
    )
    model = ViTForImageClassification(config)
    with torch.no_grad():
        projection = model.vit.embeddings.patch_embeddings.projection
        projection.weight.copy_(torch.stack(list(_dct_filters())))
        assert projection.bias is not None
        projection.bias.zero_()
    return model


class TokenHead(nn.Module):
    """Classifies for each token if its patch was tampered with. Discarded after training."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.out = nn.Linear(hidden_size, 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return logits [N, tokens] for hidden states [N, tokens, hidden]."""
        logits: torch.Tensor = self.out(tokens)[..., 0]
        return logits


def _dct_filters() -> Iterator[torch.Tensor]:
    """Yield the 96 patch filters [3, PATCH, PATCH]: all frequencies of luma, and for both colour axes the mean and
    the frequencies of grids and stripes."""
    place = torch.arange(PATCH) + 0.5
    waves = torch.stack([torch.cos(math.pi * k * place / PATCH) for k in range(PATCH)])
    waves = waves / waves.norm(dim=1, keepdim=True)
    luma = [(_LUMA, ky, kx) for ky in range(PATCH) for kx in range(PATCH)]
    places = [(0, 0), *((k, 0) for k in _OF_PATTERN), *((0, k) for k in _OF_PATTERN), *((k, k) for k in _OF_PATTERN)]
    for axis, ky, kx in [*luma, *((axis, ky, kx) for axis in _COLOURS for ky, kx in places)]:
        colours = torch.tensor(axis)
        gain = _PATTERN_GAIN if max(ky, kx) in _OF_PATTERN else _PICTURE_GAIN
        yield torch.einsum("c,y,x->cyx", colours / colours.norm(), waves[ky], waves[kx]) * gain
