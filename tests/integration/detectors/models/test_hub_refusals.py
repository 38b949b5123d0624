"""Hubs, repositories and disks from which `models pull` cannot fetch: each is a sentence and an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.detectors.models.conftest import FIRST, IMAGE, Run
from tests.integration.detectors.models.hub import Hub, Repository


@pytest.mark.parametrize(
    ("repository", "code", "said"),
    [
        (None, 2, "The hub has no repository"),
        (Repository(refusal=(403, "GatedRepo")), 2, "accept its terms there, then `hf auth login`"),
        (Repository(refusal=(403, "")), 2, "answers 403"),
        (Repository(refusal=(401, "")), 2, "or it is private"),
        (Repository(refusal=(418, "")), 2, "answers 418"),
        (Repository({FIRST: {"config.json": b"{}", "pytorch_model.bin": b""}}), 2, "has no preprocessor_config.json"),
        (Repository({FIRST: {"pytorch_model.bin": b""}}), 2, "has no config.json"),
    ],
    ids=["missing", "gated", "forbidden", "unauthorised", "odd", "no-preprocessor", "no-config"],
)
def test_each_refusal_of_the_hub_is_a_sentence(
    hub: Hub, command: Run, repository: Repository | None, code: int, said: str
) -> None:
    if repository is not None:
        hub.repositories[IMAGE] = repository
    refused = command("pull", "image-vit")
    assert refused.returncode == code
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_pickled_weights_are_not_fetched(hub: Hub, command: Run, files: dict[str, bytes]) -> None:
    del files["model.safetensors"]
    hub.repositories[IMAGE] = Repository({FIRST: files})
    refused = command("pull", "image-vit")
    assert refused.returncode == 2
    assert "no safetensors weights (pytorch_model.bin)" in refused.stderr
    assert hub.downloads() == []


def test_a_pinned_revision_that_is_gone_is_reported(hub: Hub, command: Run, files: dict[str, bytes]) -> None:
    hub.repositories["shylhy/videomae-large-finetuned-deepfake-subset"] = Repository({FIRST: files})
    refused = command("pull", "video-large", "--accept-licence")
    assert refused.returncode == 2
    assert "no such revision" in refused.stderr


def test_a_full_disk_is_reported_before_anything_is_fetched(hub: Hub, command: Run, files: dict[str, bytes]) -> None:
    hub.repositories[IMAGE] = Repository({FIRST: files}, declared_size=10**15)
    refused = command("pull", "image-vit")
    assert refused.returncode == 75
    assert "needs 3000000.0 GB" in refused.stderr
    assert hub.downloads() == []


def test_an_unreachable_hub_is_worth_a_retry(run: Run) -> None:
    refused = run("pull", "image-vit", HF_ENDPOINT="http://127.0.0.1:1")
    assert refused.returncode == 75
    assert "cannot be reached" in refused.stderr


def test_weights_that_arrive_damaged_are_not_recorded(
    hub: Hub, command: Run, files: dict[str, bytes], home: Path
) -> None:
    wrong = bytes(len(files["model.safetensors"]))
    hub.repositories[IMAGE] = Repository({FIRST: files}, sent={"model.safetensors": wrong})
    refused = command("pull", "image-vit")
    assert refused.returncode == 2
    assert "model.safetensors from" in refused.stderr
    assert "is damaged; pull again" in refused.stderr
    assert not (home / "sentinel-worker-models.json").exists()
