"""`sentinel-worker models` against a hub on a real socket: mostly in this process, sometimes in its own."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import close_session, constants
from safetensors.torch import save
from typer.testing import CliRunner

from sentinel_worker.commands import models
from sentinel_worker.commands.models import app
from tests.integration.detectors.conftest import MakeCheckpoint
from tests.integration.detectors.hub import Hub, Repository, serve

IMAGE = "prithivMLmods/Deep-Fake-Detector-v2-Model"
FIRST, SECOND = "1" * 40, "2" * 40
MODELS = "from sentinel_worker.commands.models import app; app(prog_name='sentinel-worker models')"
LOADER = """
import json, sys
import numpy, torch
from pathlib import Path
from sentinel_worker.detectors.catalogue import read_detectors
from sentinel_worker.detectors.loading import load_detector
from sentinel_worker.detectors.registry import find_detector
from sentinel_worker.domain.errors import Fatal
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    key, file = json.loads(line)
    try:
        detector = load_detector(find_detector(key, read_detectors(file and Path(file))), "cpu")
    except Fatal as error:
        answer = {"refused": error.message}
    else:
        clip = numpy.full((1, *detector.clip_shape), 0.25, detector.clip_dtype)
        answer = detector.describe() | {"odds": float(detector.score(torch.from_numpy(clip)))}
    print(json.dumps(answer), file=answers, flush=True)
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Load = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def serving() -> Iterator[Hub]:
    with serve() as hub:
        yield hub


@pytest.fixture
def hub(serving: Hub) -> Hub:
    """A hub without repositories or requests."""
    serving.repositories.clear()
    serving.requests.clear()
    return serving


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub") / "home"


@pytest.fixture
def home(place: Path) -> Path:
    """An HF_HOME in which no test has left anything."""
    shutil.rmtree(place, ignore_errors=True)
    return place


def environment_of(hub: Hub, home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "SENTINEL_"))}
    return kept | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "COLUMNS": "200",
    }


@pytest.fixture
def run(hub: Hub, home: Path) -> Run:
    """Run `models` with arguments, or a program, in a process; HF_HUB_OFFLINE is set, as it is for a daemon."""

    def run(*arguments: str, program: str = MODELS, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=environment_of(hub, home) | {"HF_HUB_OFFLINE": "1"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


@pytest.fixture
def command(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run `models` in this process. It imported the hub's library earlier, so the constants read then are set here."""
    for name in [name for name in os.environ if name.startswith(("HF_", "SENTINEL_"))]:
        monkeypatch.delenv(name)
    for name, value in environment_of(hub, home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    read: dict[str, str | bool] = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_HUB_OFFLINE": False,  # `pull` sets it before the import
    }
    for constant, found in read.items():
        monkeypatch.setattr(constants, constant, found)
    close_session()  # drop its sessions, which may use a proxy
    # Rich keeps the width that COLUMNS had when the first test imported the module.
    monkeypatch.setattr(models.console, "_width", 200)

    def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        answer = CliRunner().invoke(app, arguments, env=environment)
        if answer.exc_info is not None and answer.exc_info[0] is not SystemExit:
            pytest.fail("".join(traceback.format_exception(*answer.exc_info)))
        return subprocess.CompletedProcess(arguments, answer.exit_code, answer.stdout, answer.stderr)

    yield command
    close_session()


@pytest.fixture(scope="module")
def loader(serving: Hub, place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """One process for all tests that loads detectors, because it imports torch. It may contact the hub."""
    with (tmp_path_factory.mktemp("loader") / "errors").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", LOADER],
            env=environment_of(serving, place),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        with process:
            yield process


@pytest.fixture
def load(loader: subprocess.Popen[str], home: Path) -> Load:
    """Load a detector and score a clip; return its description with the log-odds, or the reason of the refusal."""

    def load(key: str, detectors: Path | None = None) -> dict[str, Any]:
        assert loader.stdin is not None
        assert loader.stdout is not None
        print(json.dumps([key, detectors and str(detectors)]), file=loader.stdin, flush=True)
        answer: dict[str, Any] = json.loads(loader.stdout.readline())
        return answer

    return load


@pytest.fixture
def files(make_checkpoint: MakeCheckpoint) -> dict[str, bytes]:
    """A repository's files: a small ViT whose labels the registry swaps, and files that must not be fetched."""
    spec = make_checkpoint(
        "image",
        labels={0: "Realism", 1: "Deepfake"},
        preprocessor={"image_processor_type": "ViTImageProcessor"},
    )
    assert spec.folder is not None
    found = {path.name: path.read_bytes() for path in spec.folder.iterdir()}
    return found | {"README.md": b"# A model", "pytorch_model.bin": b"pickled", "handler.py": b"evil"}


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


def test_damage_is_named_by_verify_refused_at_load_and_mended_by_pull(
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


def test_a_damaged_record_is_said(command: Run, home: Path) -> None:
    home.mkdir()
    (home / "sentinel-worker-models.json").write_text("{")
    refused = command("verify")
    assert refused.returncode == 2
    assert "remove it and pull again" in refused.stderr


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
def test_what_the_hub_refuses_is_said_in_a_sentence(
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


def test_a_pinned_revision_that_is_gone_is_said(hub: Hub, command: Run, files: dict[str, bytes]) -> None:
    hub.repositories["shylhy/videomae-large-finetuned-deepfake-subset"] = Repository({FIRST: files})
    refused = command("pull", "video-large", "--accept-licence")
    assert refused.returncode == 2
    assert "no such revision" in refused.stderr


def test_a_full_disk_is_said_before_anything_is_fetched(hub: Hub, command: Run, files: dict[str, bytes]) -> None:
    hub.repositories[IMAGE] = Repository({FIRST: files}, declared_size=10**15)
    refused = command("pull", "image-vit")
    assert refused.returncode == 75
    assert "needs 3000000.0 GB" in refused.stderr
    assert hub.downloads() == []


def test_a_hub_that_is_away_is_worth_another_try(run: Run) -> None:
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


def test_a_licence_has_to_be_accepted(hub: Hub, command: Run) -> None:
    refused = command("pull", "video-large")
    assert refused.returncode == 2
    assert "CC BY-NC 4.0: not for commercial use" in refused.stderr
    assert "--accept-licence" in refused.stderr
    assert hub.requests == []
    accepted = command("pull", "video-large", "--accept-licence")
    assert "The hub has no repository" in accepted.stderr


@pytest.mark.parametrize(("answer", "said"), [("y", "The hub has no repository"), ("n", "was not accepted")])
def test_on_a_terminal_the_licence_is_asked_about(hub: Hub, home: Path, answer: str, said: str) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    command = [sys.executable, "-c", MODELS, "pull", "video-large"]
    asked = subprocess.run(
        command,
        env=environment_of(hub, home),
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert "Accept?" in asked.stderr
    assert said in " ".join(asked.stderr.split())


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


def test_the_record_can_be_read_by_the_workers_account(
    hub: Hub, command: Run, files: dict[str, bytes], home: Path
) -> None:
    hub.repositories[IMAGE] = Repository({FIRST: files})
    assert command("pull", "image-vit").returncode == 0
    assert (home / "sentinel-worker-models.json").stat().st_mode & 0o444 == 0o444


def test_list_and_show_are_for_people_too(command: Run) -> None:
    listed = command("list")
    assert listed.returncode == 0
    assert "CC-BY-NC-4.0 (not for commercial use)" in listed.stdout
    shown = command("show", "video-large")
    assert "run `sentinel-worker models pull video-large`" in shown.stdout
    assert "2cbeca77c171af587f215a7d262ab6c47cbcea17" in shown.stdout
    assert command("show", "no-such").returncode == 2


def test_the_commands_do_not_wait_for_torch(run: Run) -> None:
    program = MODELS.replace("app(prog", "import sys\ntry: app(prog") + "\nfinally: print('torch' in sys.modules)"
    assert run("list", program=program).stdout.splitlines()[-1] == "False"
