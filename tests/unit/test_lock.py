"""The lock files satisfy pyproject.toml, pin each file by its hash, and name no index to fetch from."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy import lock

PROJECT = tomllib.loads((lock.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FILES = (lock.DAEMON, lock.CUDA, lock.BUILD)
on_every_target = pytest.mark.parametrize(
    "target", lock.TARGETS, ids=lambda target: f"{target['python_version']}-{target['platform_machine']}"
)


def locked(*files: Path) -> dict[str, list[lock.Entry]]:
    found: dict[str, list[lock.Entry]] = {}
    for entry in [entry for file in files for entry in lock.read(file)]:
        found.setdefault(entry.name, []).append(entry)
    return found


def unmet(wanted: list[str], found: dict[str, list[lock.Entry]], target: dict[str, str]) -> list[str]:
    """Requirements for which `target` has no locked version, or one out of range."""
    missing = []
    for requirement in map(Requirement, wanted):
        if requirement.marker is not None and not requirement.marker.evaluate(target | {"extra": ""}):
            continue
        named = found.get(canonicalize_name(requirement.name), [])
        entries = [entry for entry in named if entry.is_for(target)]
        if len(entries) != 1 or not requirement.specifier.contains(entries[0].version, prereleases=True):
            missing.append(f"{requirement}: {[entry.version for entry in entries]}")
    return missing


@on_every_target
def test_the_lock_satisfies_the_project(target: dict[str, str]) -> None:
    project = PROJECT["project"]
    wanted = project["dependencies"]
    assert not unmet(wanted, locked(lock.DAEMON, lock.CUDA), target)
    assert not unmet(PROJECT["build-system"]["requires"], locked(lock.BUILD), target)


@on_every_target
def test_what_is_locked_has_its_own_requirements_locked(target: dict[str, str]) -> None:
    """It is checked on packages that are installed here in the locked version."""
    found = locked(lock.DAEMON, lock.CUDA)
    looked_at = 0
    for entry in [entry for entries in found.values() for entry in entries]:
        try:
            installed = importlib.metadata.distribution(entry.name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if installed.version == entry.version:
            looked_at += 1
            assert not unmet(installed.requires or [], found, target), entry.name
    assert looked_at > 20


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_entry_has_hashes_and_a_reason(file: Path) -> None:
    names = {canonicalize_name(PROJECT["project"]["name"]), *locked(*FILES)}
    for entry in lock.read(file):
        assert entry.hashes, entry.name
        assert {canonicalize_name(name) for name in entry.via} <= names, entry.name
        assert entry.via or file == lock.BUILD, entry.name


def test_only_torch_needs_what_lies_beside_it() -> None:
    beside = locked(lock.CUDA)
    for name, entries in beside.items():
        if name != "torch":
            assert {via for entry in entries for via in entry.via} <= set(beside), name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_lock_names_a_host_a_path_or_an_option(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"://|^\s*-(?!-hash=sha256:)|/", re.sub(r"^#.*", "", text, flags=re.MULTILINE), re.MULTILINE)


def test_a_line_that_is_not_an_entry_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "requirements.lock"
    path.write_text("httpx>=0.28\n    # via sentinel-worker\n")
    with pytest.raises(ValueError, match="Not an entry of a lock file: httpx"):
        lock.read(path)
