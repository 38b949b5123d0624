"""Locate a detector's checkpoint files on disk, and check that they are the ones that were pulled."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from huggingface_hub import try_to_load_from_cache

from sentinel_worker.detectors import lock
from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.domain.error_codes import Trait, with_trait
from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.machine_errors import raise_if_passing

WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
PICKLED: Final = re.compile(r".*\.(?:bin|pt|pth|ckpt|h5|msgpack|pkl|pickle)")
"""Names of weights in formats that can run code when read."""

NOT_HERE: Final = with_trait(Trait.NOT_PULLED)
"""Error codes of weights that have not been pulled."""

_SHARD_NAME: Final = re.compile(r"[\w.-]+\.safetensors")


@dataclass(frozen=True, slots=True)
class Located:
    """A folder with a checkpoint's files. `pull` is the record of their download, `revision` their commit."""

    folder: Path
    revision: str | None = None
    pull: lock.Pull | None = None

    def weights(self) -> list[Path]:
        """The weights file, or the sorted shards, including missing ones."""
        index = self.folder / WEIGHTS_INDEX
        if (self.folder / WEIGHTS).exists() or not index.exists():
            return [self.folder / WEIGHTS]
        return [self.folder / name for name in shards(index)]

    def weights_sha256(self) -> str:
        """Return the SHA-256 of the weights file; for shards, the SHA-256 of the lines `<sha256>  <name>`.

        Taken from the record if the files were pulled, else computed: seconds for a gigabyte.
        """
        digests = {}
        for file in self.weights():
            recorded = self.pull.files.get(file.name) if self.pull is not None else None
            digests[file.name] = recorded.sha256 if recorded is not None else file_sha256(file)
        if len(digests) == 1:
            return next(iter(digests.values()))
        lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def locate(spec: DetectorSpec, *, check_sizes: bool = True) -> Located:
    """Find the files of `spec`, and compare the sizes of pulled ones, which costs nothing.

    Raises Fatal: 'checkpoint_missing', 'checkpoint_unpinned', 'checkpoint_invalid' (a size differs, or access is
    denied), 'models_record_damaged'.
    """
    with reading(spec):
        return _locate(spec, check_sizes=check_sizes)


@contextmanager
def reading(spec: DetectorSpec) -> Iterator[None]:
    """Raise Fatal('checkpoint_invalid') if the block may not read a file, or the disk fails."""
    try:
        yield
    except OSError as error:
        raise_if_passing(error)
        raise invalid(spec, f"its files cannot be read: {error.strerror}") from error


def _locate(spec: DetectorSpec, *, check_sizes: bool) -> Located:
    if spec.folder is not None:
        if not spec.folder.is_dir():
            raise Fatal("checkpoint_missing", f"The folder of detector '{spec.key}' does not exist.")
        return Located(spec.folder)
    assert spec.repository is not None
    pull = lock.find(spec.repository, spec.revision)
    revision = spec.revision or (pull.revision if pull else None)
    if revision is None:
        raise Fatal(
            "checkpoint_unpinned",
            f"Detector '{spec.key}' was not pulled, and no revision is pinned: run `{pull_command(spec)}`.",
        )
    config = try_to_load_from_cache(spec.repository, CONFIG, revision=revision)
    if not isinstance(config, str):
        raise missing(spec, "files")
    folder = Path(config).parent
    if pull is not None and check_sizes:
        _check_sizes(spec, folder, pull)
    return Located(folder, revision, pull)


def _check_sizes(spec: DetectorSpec, folder: Path, pull: lock.Pull) -> None:
    for name, file in pull.files.items():
        if not (folder / name).exists():
            raise missing(spec, name)
        size = (folder / name).stat().st_size
        if size != file.size:
            raise invalid(spec, f"its {name} has {size} bytes, but {file.size} were pulled; pull it again")


def check_contents(located: Located, spec: DetectorSpec) -> None:
    """Hash pulled files, and weights that the operator's file pins; takes seconds for a gigabyte.

    Raises Fatal: 'weights_not_safetensors', 'checkpoint_invalid' (a file differs from what was pulled or pinned).
    """
    with reading(spec):
        _check_contents(located, spec)


def _check_contents(located: Located, spec: DetectorSpec) -> None:
    _check_format(located, spec)
    pulled = located.pull.files if located.pull is not None else {}
    for name, file in pulled.items():
        if file_sha256(located.folder / name) != file.sha256:
            raise invalid(spec, f"its {name} has another SHA-256 than when it was pulled; pull it again")
    if located.pull is not None and spec.remote_code:
        foreign = sorted(path.name for path in located.folder.glob("*.py") if path.name not in pulled)
        if foreign:
            raise invalid(spec, f"its folder contains {', '.join(foreign)}, which was not pulled; remove it")
    if spec.weights_sha256 is not None and spec.weights_sha256 != located.weights_sha256():
        raise invalid(spec, "the SHA-256 of its weights differs from weights_sha256 in the detectors file")


def _check_format(located: Located, spec: DetectorSpec) -> None:
    try:
        weights = located.weights()
    except (OSError, ValueError) as error:
        raise_if_passing(error)
        raise invalid(spec, f"its {WEIGHTS_INDEX} does not list safetensors files beside it") from error
    if all(path.exists() for path in weights):
        return
    pickled = sorted(path.name for path in located.folder.iterdir() if PICKLED.fullmatch(path.name))
    if pickled:
        raise Fatal(
            "weights_not_safetensors",
            f"The checkpoint of detector '{spec.key}' has {', '.join(pickled)} but no {WEIGHTS}. Other formats can "
            "run code when they are read, and are not loaded. Save the weights with save_pretrained of transformers.",
        )
    raise missing(spec, next(path.name for path in weights if not path.exists()))


def read_json(located: Located, name: str, spec: DetectorSpec) -> dict[str, Any]:
    """Read a JSON object of the checkpoint; raises Fatal('checkpoint_missing' or 'checkpoint_invalid')."""
    try:
        content = json.loads((located.folder / name).read_text(encoding="utf-8"))
    except OSError as error:
        raise_if_passing(error)
        raise missing(spec, name) from error
    except ValueError as error:
        raise invalid(spec, f"its {name} is not JSON") from error
    if not isinstance(content, dict):
        raise invalid(spec, f"its {name} is not a JSON object")
    return content


def shards(index: Path) -> list[str]:
    """Return the sorted names of the files that an index lists; raises ValueError if it is not an index.

    Refuses a name in another format, because the library would read that file as a pickle.
    """
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        if all(map(_SHARD_NAME.fullmatch, names)):
            return names
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not an index of weights") from error
    raise ValueError("not an index of safetensors")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pull_command(*specs: DetectorSpec) -> str:
    """Return the shell command that fetches the weights of `specs`."""
    return f"sentinel-worker models pull {' '.join(spec.key for spec in specs)}"


def missing(spec: DetectorSpec, name: str) -> Fatal:
    """Error for a missing file, with the remedy."""
    if spec.folder is not None:
        return Fatal("checkpoint_missing", f"Detector '{spec.key}' has no {name} in its folder.")
    return Fatal(
        "checkpoint_missing",
        f"Detector '{spec.key}' has no {name} in the local cache ({spec.repository}): run `{pull_command(spec)}`.",
    )


def invalid(spec: DetectorSpec, reason: str) -> Fatal:
    """Error for a checkpoint that cannot be used."""
    return Fatal("checkpoint_invalid", f"The checkpoint of detector '{spec.key}' cannot be used: {reason}.")
