"""Promises of the Dockerfile and the compose file, read from their text: images are not built here."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from sentinel_worker.config.settings import Settings

ROOT = Path(__file__).parents[2]
LINES = re.sub(r"\\\n|^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE).splitlines()
STEPS = [tuple(line.split(maxsplit=1)) for line in LINES if line.strip()]
LAST_STAGE = STEPS[max(place for place, (name, _) in enumerate(STEPS) if name == "FROM") :]


def values(name: str, steps: list[tuple[str, ...]] = STEPS) -> list[str]:
    return [value for step, value in steps if step == name]


@pytest.fixture(scope="module")
def worker() -> dict[str, Any]:
    content = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text(encoding="utf-8"))
    service: dict[str, Any] = content["services"]["worker"]
    return service


def test_the_daemon_runs_as_an_unprivileged_user() -> None:
    assert values("USER", LAST_STAGE) == ["10001:10001"]
    place = [name for name, _ in LAST_STAGE].index("USER")
    assert not {name for name, _ in LAST_STAGE[place:]} & {"RUN", "COPY", "ADD"}


def test_nothing_is_fetched_without_a_hash() -> None:
    assert not values("ADD")
    assert not [run for run in values("RUN") if re.search(r"\b(?:curl|wget|git)\b|https?:", run)]
    installs = [part for run in values("RUN") for part in run.split("&&") if "pip install" in part]
    assert len(installs) == 4
    for install in installs:
        assert "--no-deps" in install
        assert "--require-hashes" in install or "--no-index" in install, install
        assert "--only-binary :all:" in install or "--no-index" in install, "a source archive runs code as it is built"


def test_a_cpu_build_of_torch_needs_its_hash() -> None:
    [run] = [run for run in values("RUN") if "TORCH_INDEX" in run]
    assert "${TORCH_SHA256:?" in run
    assert "-r requirements.lock" not in run, "an index that is not PyPI's gives torch and nothing else"


def test_dockerignore_admits_only_what_is_copied() -> None:
    copied = {source for copy in values("COPY") if "--from" not in copy for source in copy.split()[:-1]}
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert "*" in rules
    assert not [source for source in copied if not (ROOT / source).exists()]


def test_the_label_has_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f'image.version="{version}"' in values("LABEL")[0]


def test_the_example_gives_the_container_no_rights_and_no_files_to_write(worker: dict[str, Any]) -> None:
    assert worker["read_only"] is True
    assert worker["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in worker["security_opt"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ports"} & set(worker)
    written = [line.split(":")[0] for line in [*worker["tmpfs"], *worker["volumes"]] if not line.endswith(":ro")]
    assert written == ["/tmp", "work"]
    assert "SENTINEL_WORK_DIR=/work" in values("ENV")[0]
    assert "models:/models:ro" in worker["volumes"]


def test_the_example_leaves_time_to_drain(worker: dict[str, Any]) -> None:
    drain = Settings.model_fields["drain_seconds"].default
    assert int(worker["stop_grace_period"].removesuffix("s")) >= drain + 40
