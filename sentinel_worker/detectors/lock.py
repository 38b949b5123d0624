"""What `models pull` fetched: one JSON file in the Hugging Face home folder, read again at every load."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import constants

from sentinel_worker.errors import Fatal

NAME = "sentinel-worker-models.json"


@dataclass(frozen=True, slots=True)
class PulledFile:
    """SHA-256 (64 hex digits) and size in bytes of a file when it was pulled."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Pull:
    """A repository's files at a commit. `pulled_at` is ISO 8601 in UTC, so that text sorts as time."""

    repository: str
    revision: str
    pulled_at: str
    files: Mapping[str, PulledFile]


def path() -> Path:
    """Where the record lies: in HF_HOME."""
    return Path(constants.HF_HOME) / NAME


def find(repository: str, revision: str | None) -> Pull | None:
    """The record of a repository at `revision`; the latest one where that is None."""
    found = [
        pull for pull in _read() if pull.repository == repository and (revision is None or pull.revision == revision)
    ]
    return max(found, key=lambda pull: pull.pulled_at, default=None)


def record(pull: Pull) -> None:
    """Add `pull`, in place of an earlier one of the same commit; a reader sees the old file or the new one."""
    kept = [one for one in _read() if (one.repository, one.revision) != (pull.repository, pull.revision)]
    text = json.dumps({"version": 1, "pulls": [asdict(one) for one in (*kept, pull)]}, indent=2)
    path().parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=NAME, dir=path().parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path())


def _read() -> list[Pull]:
    try:
        content: Any = json.loads(path().read_text(encoding="utf-8"))
        return [_pull(item) for item in content["pulls"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Fatal(
            "models_record_damaged", f"The record of pulled models, {NAME}, cannot be read; remove it and pull again."
        ) from error


def _pull(item: Any) -> Pull:
    files = {name: PulledFile(**file) for name, file in item["files"].items()}
    return Pull(item["repository"], item["revision"], item["pulled_at"], files)
