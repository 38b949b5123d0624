"""A detector that needs more memory than a test's machine gives."""

import json
from pathlib import Path

from tests.integration.detectors.conftest import HUNGRY_EDGE, PREPROCESSOR, hungry_model

TOML = """
[detectors.hungry]
task = "image"
folder = "checkpoint"
"""


def hungry_detector(folder: Path) -> dict[str, str]:
    """Settings of a worker whose detector allocates 256 MiB at once for a picture."""
    size = {"image_processor_type": "ViTImageProcessor", "size": {"height": HUNGRY_EDGE, "width": HUNGRY_EDGE}}
    hungry_model({0: "real", 1: "fake"}, 256).save_pretrained(folder / "checkpoint")
    (folder / "checkpoint" / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR | size))
    (folder / "detectors.toml").write_text(TOML)
    return {"SENTINEL_DETECTORS": str(folder / "detectors.toml"), "SENTINEL_DETECTOR": "hungry"}
