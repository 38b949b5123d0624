"""Detectors: the registry, loading of checkpoints, and scoring of clips to logits."""

import os

# huggingface_hub reads this once, on import: weights are fetched beforehand, never while serving.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
