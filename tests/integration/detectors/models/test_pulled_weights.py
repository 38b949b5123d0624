"""Weights that `models pull` fetched: recorded, verified, and loaded without asking the hub."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save

from tests.integration.detectors.models.conftest import FIRST, IMAGE, Load, Run
from tests.integration.detectors.models.hub import Hub, Repository

SECOND = "2" * 40
WANTED = {"config.json", "preprocessor_config.json", "model.safetensors"}


def record(home: Path) -> list[dict[str, object]]:
    content = json.loads((home / "sentinel-worker-models.json").read_text())
    pulls: list[dict[str, object]] = content["pulls"]
    return pulls


def blob(home: Path, content: bytes) -> Path:
    digest = hashlib.sha256(content).hexdigest()
    return next((home / "hub").rglob(f"blobs/{digest}"))


def test_weights_are_pulled_recorded_and_loaded_offline(
    hub: Hub, run: Run, load: Load, files: dict[str, bytes], home: Path
) -> None:
    hub.repositories[IMAGE] = Repository({FIRST: files})
    assert "sentinel-worker models pull image-vit" in load("image-vit")["refused"]
    pulled = run("pull", "image-vit")
    assert pulled.returncode == 0, pulled.stderr
    assert f"no revision is pinned; pulling the hub's current one, {FIRST}" in pulled.stdout
    assert set(hub.downloads()) == WANTED
    [one] = record(home)
    assert (one["repository"], one["revision"]) == (IMAGE, FIRST)
    assert one["files"] == {
        name: {"sha256": hashlib.sha256(files[name]).hexdigest(), "size": len(files[name])} for name in sorted(WANTED)
    }
    asked = len(hub.requests)
    for key in ("image-vit", "frames"):
        described = load(key)
        assert described["revision"] == FIRST
        assert described["fake_indices"] == [0]
        assert described["labels"] == {"0": "Realism", "1": "Deepfake"}
    assert len(hub.requests) == asked, "loading asks the hub nothing"
    listed = {row["key"]: row for row in json.loads(run("list", "--json").stdout)}
    assert (listed["image-vit"]["state"], listed["frames"]["state"]) == ("pulled", "pulled")
    assert (listed["image-vit"]["default"], listed["frames"]["default"]) == (True, False)
    assert listed["video-large"]["state"] == "missing"
    shown = json.loads(run("show", "frames", "--json").stdout)
    assert shown["labels"]["names"] == {"0": "Realism", "1": "Deepfake"}
    assert "three independent evaluations" in shown["labels"]["source"]
    assert set(shown["files"]) == WANTED


def test_a_recorded_revision_is_kept_until_the_newest_is_asked_for(
    hub: Hub, command: Run, files: dict[str, bytes], home: Path, tmp_path: Path
) -> None:
    repository = hub.repositories[IMAGE] = Repository({FIRST: files})
    assert command("pull", "image-vit").returncode == 0
    repository.commits[SECOND] = files | {"config.json": files["config.json"] + b"\n"}
    again = command("pull", "image-vit")
    assert FIRST in again.stdout
    assert SECOND not in again.stdout
    newest = command("pull", "image-vit", "--newest")
    assert SECOND in newest.stdout
    assert [one["revision"] for one in record(home)] == [FIRST, SECOND]
    assert json.loads(command("list", "--json").stdout)[2]["revision"] == SECOND
    path = tmp_path / "detectors.toml"
    path.write_text(f'[detectors.older]\ntask = "image"\nrepository = "{IMAGE}"\nrevision = "{FIRST}"\n')
    listed = [command("pull", "older", "--accept-licence", SENTINEL_DETECTORS=str(path)), command("list", "--json")]
    assert [one.returncode for one in listed] == [0, 0]
    assert json.loads(listed[1].stdout)[2]["revision"] == SECOND, "a pinned pull of another key changes nothing"


def test_damage_is_named_by_verify_refused_at_load_and_repaired_by_pull(
    hub: Hub, command: Run, load: Load, files: dict[str, bytes], home: Path
) -> None:
    hub.repositories[IMAGE] = Repository({FIRST: files})
    assert "nothing was pulled" in command("verify").stdout
    assert command("verify", "image-vit").returncode == 2
    assert command("pull", "image-vit").returncode == 0
    whole = command("verify")
    assert whole.returncode == 0
    assert whole.stdout.count("as pulled") == 2
    weights = blob(home, files["model.safetensors"])
    turned = bytearray(files["model.safetensors"])
    turned[-1] ^= 1
    weights.write_bytes(turned)
    different = command("verify", "image-vit")
    assert different.returncode == 1
    assert "model.safetensors has another SHA-256" in different.stdout
    assert "its model.safetensors has another SHA-256 than when it was pulled" in load("image-vit")["refused"]
    weights.write_bytes(turned[:-8])
    assert "model.safetensors has" in command("verify", "image-vit").stdout
    assert f"has {len(turned) - 8} bytes, but {len(turned)} were pulled" in load("image-vit")["refused"]
    mended = command("pull", "image-vit")
    assert mended.returncode == 0, mended.stderr
    assert "damaged in the cache, fetching again: model.safetensors" in mended.stdout
    assert command("verify").returncode == 0


def test_a_damaged_record_is_reported(command: Run, home: Path) -> None:
    home.mkdir()
    (home / "sentinel-worker-models.json").write_text("{")
    refused = command("verify")
    assert refused.returncode == 2
    assert "remove it and pull again" in refused.stderr


def test_the_record_can_be_read_by_the_workers_account(
    hub: Hub, command: Run, files: dict[str, bytes], home: Path
) -> None:
    hub.repositories[IMAGE] = Repository({FIRST: files})
    assert command("pull", "image-vit").returncode == 0
    assert (home / "sentinel-worker-models.json").stat().st_mode & 0o444 == 0o444


def test_shards_and_allowed_code_are_pulled_too(
    hub: Hub, command: Run, files: dict[str, bytes], tmp_path: Path
) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    shards = {name: name.encode() for name in index["weight_map"].values()}
    del files["model.safetensors"]
    files |= shards | {"model.safetensors.index.json": json.dumps(index).encode()}
    hub.repositories["someone/own-code"] = Repository({FIRST: files})
    path = tmp_path / "detectors.toml"
    text = f'[detectors.ours]\ntask = "image"\nrepository = "someone/own-code"\nrevision = "{FIRST}"\n'
    path.write_text(text + "commercial_use = true\n")
    assert command("pull", "ours", "--detectors", str(path)).returncode == 0
    wanted = {"config.json", "preprocessor_config.json", "model.safetensors.index.json", *shards}
    assert set(hub.downloads()) == wanted
    path.write_text(text + "commercial_use = true\nallow_remote_code = true\n")
    assert command("pull", "ours", SENTINEL_DETECTORS=str(path)).returncode == 0
    assert set(hub.downloads()) == wanted | {"handler.py"}


OWN_CONFIG = """
from transformers import PretrainedConfig
class OwnConfig(PretrainedConfig):
    model_type = "own"
"""
OWN_MODEL = """
import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from .configuration_own import OwnConfig
class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    def __init__(self, config):
        super().__init__(config)
        self.level = torch.nn.Linear(1, 2)
        self.post_init()
    def forward(self, input_values):
        return SequenceClassifierOutput(logits=self.level(input_values.mean(1, keepdim=True)))
"""


def test_a_checkpoints_own_code_runs_only_where_it_is_allowed(
    hub: Hub, command: Run, load: Load, home: Path, tmp_path: Path
) -> None:
    auto_map = {"AutoConfig": "configuration_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
    labels = {"id2label": {"0": "spoof", "1": "bonafide"}, "label2id": {"spoof": 0, "bonafide": 1}}
    weights = {"level.weight": torch.tensor([[8.0], [-8.0]]), "level.bias": torch.tensor([1.0, 0.0])}
    hub.repositories["Speech-Arena-2025/DF_Arena_500M_V_1"] = Repository(
        {
            FIRST: {
                "config.json": json.dumps({"model_type": "own", "auto_map": auto_map} | labels).encode(),
                "preprocessor_config.json": b"{}",
                "configuration_own.py": OWN_CONFIG.encode(),
                "modeling_own.py": OWN_MODEL.encode(),
                "model.safetensors": save(weights, metadata={"format": "pt"}),
            }
        }
    )
    path = tmp_path / "detectors.toml"
    path.write_text("")
    assert command("pull", "audio-arena", "--accept-licence", SENTINEL_DETECTORS=str(path)).returncode == 0
    assert "needs to run its own code" in load("audio-arena", path)["refused"]
    path.write_text("[detectors.audio-arena]\nallow_remote_code = true\n")
    assert command("pull", "audio-arena", "--accept-licence", SENTINEL_DETECTORS=str(path)).returncode == 0
    loaded = load("audio-arena", path)
    assert (loaded.get("fake_indices"), loaded.get("odds")) == ([0], 5.0), loaded
    [own] = (home / "hub").rglob("snapshots/*/modeling_own.py")
    planted = own.with_name("planted.py")
    planted.write_text("")
    assert "its folder contains planted.py, which was not pulled" in load("audio-arena", path)["refused"]
    planted.unlink()
    own.resolve().write_bytes(own.read_bytes().replace(b"Linear(1, 2)", b"Linear(2, 1)"))
    assert "its modeling_own.py has another SHA-256 than when it was pulled" in load("audio-arena", path)["refused"]
