"""`make sbom`: every part of a release as CycloneDX 1.6 JSON: locked packages, models in the package, FFmpeg.

Versions, hashes and dependencies come from the lock, licences from the packages that are installed here.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from deploy import lock
from sentinel_worker.detectors.files import file_sha256

_MODELS: Final = ("*.onnx", "*.safetensors")
_LONGEST_LICENCE: Final = 100
"""Longest name of a licence: some packages state the whole text instead."""


def bill() -> Bom:
    """Return the bill of materials of the daemon with PyPI's CUDA build of torch."""
    bom = Bom()
    worker = bom.metadata.component = _worker()
    packages = [(_package(entry), entry) for entry in _entries()]
    needed: dict[str, list[Component]] = {}
    for component, entry in packages:
        bom.components.add(component)
        for name in entry.via:
            needed.setdefault(name, []).append(component)
    for component, entry in packages:
        bom.register_dependency(component, needed.get(entry.name))
    beside = [*_models(), _ffmpeg()]
    bom.components.update(beside)
    bom.register_dependency(worker, [*needed[worker.name], *beside])
    return bom


def write(path: Path) -> None:
    """Write the bill to `path`, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    JsonV1Dot6(bill()).output_to_file(str(path), allow_overwrite=True, indent=2)


def _entries() -> list[lock.Entry]:
    entries = [entry for path in (lock.DAEMON, lock.CUDA) for entry in lock.read(path)]
    return [entry for entry in entries if any(map(entry.is_for, lock.TARGETS))]


def _worker() -> Component:
    project: dict[str, Any] = tomllib.loads((lock.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return Component(
        name=project["name"],
        version=project["version"],
        type=ComponentType.APPLICATION,
        bom_ref=project["name"],
        licenses=_licences(project["license"]),
        purl=PackageURL("pypi", name=project["name"], version=project["version"]),
    )


def _package(entry: lock.Entry) -> Component:
    return Component(
        name=entry.name,
        version=entry.version,
        bom_ref=f"{entry.name}@{entry.version}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in entry.hashes],
        licenses=_licences(_stated_licence(entry)),
        purl=PackageURL("pypi", name=entry.name, version=entry.version),
    )


def _stated_licence(entry: lock.Entry) -> str:
    try:
        stated = importlib.metadata.metadata(entry.name).json
    except importlib.metadata.PackageNotFoundError:
        return ""
    text = str(stated.get("license_expression") or stated.get("license") or "")
    return text if len(text) <= _LONGEST_LICENCE and "\n" not in text else ""


def _licences(text: str) -> list[License]:
    return [LicenseFactory().make_from_string(text)] if text else []


def _models() -> Iterator[Component]:
    package = lock.ROOT / "sentinel_worker"
    for path in sorted(path for pattern in _MODELS for path in package.rglob(pattern)):
        place = path.relative_to(lock.ROOT).as_posix()
        digest = HashType(alg=HashAlgorithm.SHA_256, content=file_sha256(path))
        kind = ComponentType.MACHINE_LEARNING_MODEL
        licence = _licences("MIT" if path.parent.name == "face_model" else "Apache-2.0")
        yield Component(name=place, type=kind, bom_ref=place, hashes=[digest], licenses=licence)


def _ffmpeg() -> Component:
    """Describe Debian's FFmpeg in this machine's version; the image installs Debian's current one."""
    command = ["dpkg-query", "--show", "--showformat=${Version}", "ffmpeg"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False) if _is_debian() else None
    version = asked.stdout if asked is not None and asked.returncode == 0 else None
    purl = PackageURL("deb", namespace="debian", name="ffmpeg", version=version)
    return Component(
        name="ffmpeg", version=version, bom_ref="ffmpeg", licenses=_licences("GPL-2.0-or-later"), purl=purl
    )


def _is_debian() -> bool:
    return Path("/usr/bin/dpkg-query").exists()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
