"""The architecture of the demo checkpoint for sound, its initialisation, and a head that is used only in training."""

from __future__ import annotations

import math

import torch
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

from examples.demo_audio_checkpoint.voices import RATE

WINDOW = 3 * RATE
STRIDES = (20, 4, 4)
TOKEN = math.prod(STRIDES)
"""Samples from one token to the next: 20 ms."""

_KERNELS = (128, 8, 8)
_BANDS = 32
_LOWEST, _HIGHEST = 80.0, 7200.0


def make_model(seed: int) -> Wav2Vec2ForSequenceClassification:
    """Create a wav2vec2 with a third of a million parameters; label 0 is real, label 1 is fake."""
    torch.manual_seed(seed)
    config = Wav2Vec2Config(
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=192,
        conv_dim=(2 * _BANDS, 96, 96),
        conv_kernel=_KERNELS,
        conv_stride=STRIDES,
        conv_bias=True,
        feat_extract_norm="group",
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        classifier_proj_size=96,
        hidden_dropout=0.0,
        activation_dropout=0.0,
        attention_dropout=0.0,
        feat_proj_dropout=0.0,
        final_dropout=0.0,
        layerdrop=0.0,
        apply_spec_augment=False,
        mask_time_prob=0.0,
        id2label={0: "real", 1: "fake"},
        label2id={"real": 0, "fake": 1},
    )
    model = Wav2Vec2ForSequenceClassification(config)
    with torch.no_grad():
        first = model.wav2vec2.feature_extractor.get_submodule("conv_layers.0.conv")
        assert isinstance(first, nn.Conv1d)
        first.weight.copy_(_band_filters())
        assert first.bias is not None
        first.bias.zero_()
    return model


class TokenHead(nn.Module):
    """Classifies for each token if its 20 ms were tampered with. Discarded after training."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.out = nn.Linear(hidden_size, 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return logits [N, tokens] for hidden states [N, tokens, hidden]."""
        logits: torch.Tensor = self.out(tokens)[..., 0]
        return logits


def _band_filters() -> torch.Tensor:
    """Return filters [64, 1, 128]: the cosine and the sine of 32 bands, from low to high."""
    size = _KERNELS[0]
    time = (torch.arange(size) - (size - 1) / 2) / RATE
    centres = torch.logspace(math.log10(_LOWEST), math.log10(_HIGHEST), _BANDS)
    phases = 2 * math.pi * centres[:, None] * time
    filters = torch.stack([phases.cos(), phases.sin()], 1).flatten(0, 1) * torch.hann_window(size)
    normed: torch.Tensor = filters / filters.norm(dim=1, keepdim=True)
    return normed[:, None]
