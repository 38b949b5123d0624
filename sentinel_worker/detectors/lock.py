"""Record of what `models pull` fetched: a JSON file in the Hugging Face home folder, read again at every load."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import constants

from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.machine_errors import raise_if_passing

NAME = "sentinel-worker-models.json"


@dataclass(frozen=True, slots=True)
class PulledFile:
    """SHA-256 (64 hex digits) and size in bytes of a file at the time of its pull."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Pull:
    """A repository's files at a commit. `pulled_at` is ISO 8601 in UTC. `resolved` means that no revision was pinned
    and the commit was the hub's current one; a detector without a revision uses the latest resolved pull."""

    repository: str
    revision: str
    pulled_at: str
    resolved: bool
    files: Mapping[str, PulledFile]


def path() -> Path:
    """Return the path of the record, which is in HF_HOME."""
    return Path(constants.HF_HOME) / NAME


def find(repository: str, revision: str | None) -> Pull | None:
    """Return the record of a repository at `revision`; for None, the latest resolved one."""
    found = [
        pull
        for pull in _read()
        if pull.repository == repository and (pull.resolved if revision is None else pull.revision == revision)
    ]
    return found[-1] if found else None


def record(pull: Pull) -> None:
    """Add `pull`, replacing an earlier one of the same commit. The file is replaced atomically."""
    pulls = _read()
    commits = [(one.repository, one.revision) for one in pulls]
    place = commits.index((pull.repository, pull.revision)) if (pull.repository, pull.revision) in commits else None
    if place is not None and pulls[place].resolved and not pull.resolved:
        # It keeps its place: a pinned pull does not change which commit was resolved last.
        pulls[place] = replace(pull, resolved=True)
    else:
        pulls = [one for position, one in enumerate(pulls) if position != place] + [pull]
    text = json.dumps({"version": 1, "pulls": [asdict(one) for one in pulls]}, indent=2)
    path().parent.mkdir(parents=True, exist_ok=True)
    partial = path().with_name(f".{NAME}.{secrets.token_hex(4)}")
    try:
        with partial.open("x", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path())
    finally:
        partial.unlink(missing_ok=True)


def _read() -> list[Pull]:
    try:
        content: Any = json.loads(path().read_text(encoding="utf-8"))
        return [_pull(item) for item in content["pulls"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise_if_passing(error)
        raise Fatal(
            "models_record_damaged", f"The record of pulled models, {NAME}, cannot be read; remove it and pull again."
        ) from error


def _pull(item: Any) -> Pull:
    files = {name: PulledFile(**file) for name, file in item["files"].items()}
    return Pull(item["repository"], item["revision"], item["pulled_at"], item["resolved"], files)
