"""Every registry entry of known architecture, with a full-size checkpoint: `make test-models`.

Not part of the ordinary run, because it takes minutes, 3 GB of memory and 1.3 GB of disk. Each entry has a separate
process, one at a time. In the ordinary run,
`tests/integration/detectors/test_detectors.py::test_a_detector_scores_like_plain_transformers` does the same with a
checkpoint of a few kilobytes of each kind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.matrix("checkpoints")

KEYS = ("video-large", "video-base", "image-vit", "frames", "audio-xlsr")
TOLERANCE = 1e-4
RESIZED_TOLERANCE = 0.05  # Pillow and torch may round a pixel of a resized frame differently, by one grey level


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("key", KEYS)
def test_log_odds_are_those_of_plain_transformers(key: str, tmp_path: Path) -> None:
    cache = tmp_path / "hub"
    environment = os.environ | {"HF_HUB_CACHE": str(cache), "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "tests.models.full_size", key, str(cache)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    for path in cache.rglob("blobs/*"):
        path.unlink()
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout.splitlines()[-1])
    print(*(f"{name} {value:.3g}" if isinstance(value, float) else value for name, value in measured.items()))  # noqa: T201  # the measurement is the point
    assert measured["apart"] < TOLERANCE
    assert measured["apart_resized"] < RESIZED_TOLERANCE
    assert abs(measured["odds"]) > 100 * TOLERANCE


def test_every_model_is_among_them() -> None:
    from tests.models.full_size import MODELS  # imports torch, which would slow the collection of all tests

    assert set(KEYS) == set(MODELS)
