"""The evidence of a verdict, as `analysis_results` keeps it."""

import platform
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from sentinel_worker import __version__
from sentinel_worker.inference import Scorer
from sentinel_worker.media.facts import MediaFacts
from sentinel_worker.sources.storage import Fetched
from sentinel_worker.verdict import Judgement


def document(
    scorer: Scorer,
    facts: MediaFacts,
    fetched: Fetched,
    judgement: Judgement,
    derived: Mapping[str, str],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """The `result` of `sentinel_finish`. Times are in seconds, probabilities are P(fake) from 0 to 1."""
    return {
        "verdict": judgement.verdict,
        "fake_probability": judgement.fake_probability,
        "threshold": judgement.threshold,
        "detector": scorer.describe()
        | {"worker_version": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "timeline": [
            {
                "start_seconds": round(window.start_seconds, 3),
                "end_seconds": round(window.end_seconds, 3),
                "fake_probability": probability,
            }
            for window, probability in zip(judgement.windows, judgement.window_probabilities, strict=True)
        ],
        "media": asdict(facts) | {"sha256": fetched.sha256, "size_bytes": fetched.size_bytes},
        "derived": dict(derived),
        "timings": dict(seconds),
        "notice": scorer.spec.notice,
    }
