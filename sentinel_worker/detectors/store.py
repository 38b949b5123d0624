"""Download weights from the hub to the local cache, and verify them later. Does not import torch."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.hf_api import RepoSibling

from sentinel_worker.detectors import lock
from sentinel_worker.detectors.files import (
    CONFIG,
    PICKLED,
    PREPROCESSOR,
    WEIGHTS,
    WEIGHTS_INDEX,
    file_sha256,
    locate,
    pull_command,
    reading,
)
from sentinel_worker.detectors.hub_errors import enough_space, translated
from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.domain.errors import Fatal

_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Verified:
    """Result of verifying a detector's files; `wrong` has a sentence for each bad file."""

    key: str
    revision: str
    wrong: tuple[str, ...]


def pull(spec: DetectorSpec, say: Say, *, newest: bool = False) -> lock.Pull:
    """Fetch the files of `spec` at its revision, check them, and record their hashes.

    If the registry pins no revision, the one of an earlier pull is fetched again; the first time, and with
    `newest`, the hub's current one. Cached files are fetched again only if they are damaged.

    Raises Fatal: 'repository_not_found', 'repository_refused', 'weights_not_safetensors', 'checkpoint_damaged';
    Transient: 'hub_unreachable', 'disk_full'.
    """
    assert spec.repository is not None
    known = lock.find(spec.repository, spec.revision)
    revision = spec.revision or (known.revision if known is not None and not newest else None)
    with translated(spec.repository):
        described = HfApi().model_info(spec.repository, revision=revision, files_metadata=True)
        commit = described.sha
        assert commit is not None
        if revision is None:
            say(f"{spec.key}: no revision is pinned; pulling the hub's current one, {commit}")
        wanted = _wanted({file.rfilename: file for file in described.siblings or ()}, spec)
        enough_space(spec.repository, sum(file.size or 0 for file in wanted.values()))
        folder = _fetch(spec, commit, wanted, say)
        pulled = lock.Pull(
            repository=spec.repository,
            revision=commit,
            pulled_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            resolved=spec.revision is None,
            files={name: _recorded(folder / name) for name in sorted(wanted)},
        )
        lock.record(pulled)
    return pulled


def was_pulled(spec: DetectorSpec) -> bool:
    """Return True if a pull recorded the files of `spec`."""
    return spec.folder is None and spec.repository is not None and lock.find(spec.repository, spec.revision) is not None


def verify(spec: DetectorSpec) -> Verified:
    """Hash the files of `spec` again and compare; takes seconds for a gigabyte.

    Raises Fatal: 'checkpoint_missing' if nothing was pulled, 'checkpoint_invalid' if a file cannot be read.
    """
    if spec.folder is not None or spec.repository is None:
        raise Fatal(
            "checkpoint_missing", f"Detector '{spec.key}' takes its weights from a folder; they were not pulled."
        )
    known = lock.find(spec.repository, spec.revision)
    if known is None:
        raise Fatal("checkpoint_missing", f"Detector '{spec.key}' was not pulled: run `{pull_command(spec)}`.")
    folder = locate(spec, check_sizes=False).folder
    with reading(spec):
        return Verified(spec.key, known.revision, tuple(_differences(folder, known)))


def _differences(folder: Path, known: lock.Pull) -> Iterator[str]:
    for name, file in known.files.items():
        path = folder / name
        if not path.exists():
            yield f"{name} is missing"
        elif path.stat().st_size != file.size:
            yield f"{name} has {path.stat().st_size} bytes, but {file.size} were pulled"
        elif file_sha256(path) != file.sha256:
            yield f"{name} has another SHA-256 than when it was pulled"


def _fetch(spec: DetectorSpec, commit: str, wanted: Mapping[str, RepoSibling], say: Say) -> Path:
    """Download the snapshot and return its folder; the files' hashes match the hub's."""
    assert spec.repository is not None
    folder = Path(snapshot_download(spec.repository, revision=commit, allow_patterns=list(wanted)))
    damaged = [name for name, file in wanted.items() if not _is_whole(folder / name, file)]
    if damaged:
        say(f"{spec.key}: damaged in the cache, fetching again: {', '.join(damaged)}")
        snapshot_download(spec.repository, revision=commit, allow_patterns=damaged, force_download=True)
    still = [name for name in damaged if not _is_whole(folder / name, wanted[name])]
    for name in still:  # otherwise a later load would take it for whole
        (folder / name).resolve().unlink(missing_ok=True)
        (folder / name).unlink(missing_ok=True)
    if still:
        raise Fatal(
            "checkpoint_damaged", f"The download of {', '.join(still)} from {spec.repository} is damaged; pull again."
        )
    return folder


def _wanted(files: Mapping[str, RepoSibling], spec: DetectorSpec) -> dict[str, RepoSibling]:
    """Select the files that are needed: configuration, weights, and code if it is allowed to run."""
    names = [name for name in (CONFIG, PREPROCESSOR) if name in files]
    if CONFIG not in files or (PREPROCESSOR not in files and not spec.remote_code):
        lacking = CONFIG if CONFIG not in files else PREPROCESSOR
        raise Fatal(
            "checkpoint_invalid", f"The repository {spec.repository} has no {lacking}, so its model cannot be run."
        )
    shards = [name for name in files if _SHARD.fullmatch(name)]
    if WEIGHTS in files:
        names.append(WEIGHTS)
    elif WEIGHTS_INDEX in files and shards:
        names += [WEIGHTS_INDEX, *shards]
    else:
        pickled = ", ".join(sorted(name for name in files if PICKLED.fullmatch(name))) or "no weights at all"
        raise Fatal(
            "weights_not_safetensors",
            f"The repository {spec.repository} has no safetensors weights ({pickled}). "
            "Other formats can run code when they are read, and are not loaded.",
        )
    if spec.remote_code:
        names += [name for name in files if name.endswith(".py")]
    return {name: files[name] for name in names}


def _is_whole(path: Path, file: RepoSibling) -> bool:
    """Return True if a file matches the hub's hash: SHA-256 for files in LFS, else git's blob hash."""
    if file.lfs is not None:
        return file_sha256(path) == file.lfs.sha256
    if file.blob_id is None:
        return file.size is None or path.stat().st_size == file.size
    content = path.read_bytes()
    # Git identifies a file by this hash; it is a checksum here, not a signature.
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == file.blob_id


def _recorded(path: Path) -> lock.PulledFile:
    return lock.PulledFile(file_sha256(path), path.stat().st_size)
