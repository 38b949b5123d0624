"""Detectors: which there are, how their checkpoints are loaded, and how clips become logits."""

import os

# Read once by huggingface_hub when it is imported: weights are fetched beforehand, never while serving.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
