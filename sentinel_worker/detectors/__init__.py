"""Detectors: the registry, loading of checkpoints, and scoring of clips to logits.

Belongs here: everything about a model, from its preprocessing to its calibration. Knows nothing of files of media or of
requests. May import `media` and below.
"""

import os

# huggingface_hub reads this once, on import: weights are fetched beforehand, never while serving.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
