"""`make lock`: what pyproject.toml resolves to, with hashes, for every platform and Python that it names.

Three files. `requirements-cuda.lock` is torch as PyPI has it, with NVIDIA's libraries; a CPU build of torch comes
from another index, with other hashes, and takes that file's place. `requirements-build.lock` builds the wheel, and
`requirements.lock` is all the rest. `python -m deploy.lock` asks PyPI; nothing else here uses the network.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.markers import Marker
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[1]
DAEMON, CUDA, BUILD = (ROOT / f"requirements{part}.lock" for part in ("", "-cuda", "-build"))

TARGETS: Final = tuple(
    {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
        "sys_platform": "linux",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for python in ("3.11", "3.12", "3.13")
    for machine in ("x86_64", "aarch64")
)
"""Where the daemon runs, as environment markers say it."""

_CUDA_NAMES: Final = re.compile(r"(?:torch|triton|nvidia-.+|cuda-.+)==")
_HEAD: Final = re.compile(r"(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[^ ]+)(?: ; (?P<marker>.+?))? \\")
_HEADERS: Final = {
    DAEMON: "What the daemon runs on, but for torch. Made by `make lock`; not edited by hand.",
    CUDA: "torch as PyPI has it, for CUDA, and what only that build needs. Made by `make lock`; not edited by hand.",
    BUILD: "What builds the wheel. Made by `make lock`; not edited by hand.",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One locked version. `hashes` are SHA-256 in hex, of each of its files; `via` are the names that require it."""

    name: str
    version: str
    marker: Marker | None
    hashes: tuple[str, ...]
    via: tuple[str, ...]

    def is_for(self, target: dict[str, str]) -> bool:
        """Whether it is installed on one of `TARGETS`."""
        return self.marker is None or self.marker.evaluate(target)


def read(path: Path) -> list[Entry]:
    """The entries of a lock file, in its order; raises ValueError where a line is none that `make lock` writes."""
    blocks = _blocks(path.read_text(encoding="utf-8"))
    return [_entry(block) for block in blocks if not block.startswith("#")]


def write(options: Sequence[str] = ()) -> None:
    """Resolve and write all three files; what is locked keeps its version where it still fits, unless `--upgrade`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    resolved = _resolve(["pyproject.toml", *options], (DAEMON, CUDA))
    _save(DAEMON, [block for block in resolved if not _CUDA_NAMES.match(block)])
    _save(CUDA, [block for block in resolved if _CUDA_NAMES.match(block)])
    _save(BUILD, _resolve(["-", *options], (BUILD,), "\n".join(project["build-system"]["requires"])))


def _resolve(arguments: Sequence[str], earlier: Iterable[Path], standard_input: str = "") -> list[str]:
    command = [sys.executable, "-m", "uv", "pip", "compile", *arguments, "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--only-binary", ":all:", "--no-header", "--native-tls", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        resolved = Path(folder) / "resolved.lock"
        known = [path.read_text(encoding="utf-8") for path in earlier if path.exists()]
        resolved.write_text("".join(known), encoding="utf-8")  # uv keeps the versions that it finds here
        output = ["--output-file", str(resolved)]
        subprocess.run([*command, *output], cwd=ROOT, input=standard_input, text=True, check=True)
        return _blocks(resolved.read_text(encoding="utf-8"))


def _blocks(text: str) -> list[str]:
    """A requirement with its hashes and the comment after them, each ending in a line break."""
    return [block for block in re.split(r"^(?=[^\s])", text, flags=re.MULTILINE) if block.strip()]


def _save(path: Path, blocks: Iterable[str]) -> None:
    path.write_text(f"# {_HEADERS[path]}\n" + "".join(blocks), encoding="utf-8")


def _entry(block: str) -> Entry:
    head = _HEAD.match(block)
    if head is None:
        raise ValueError(f"Not an entry of a lock file: {block.splitlines()[0]}")
    comment = block[block.index("# via") :] if "# via" in block else ""
    via = re.findall(r"^\s*#(?: via)? +([A-Za-z0-9][\w.-]*)", comment, re.MULTILINE)
    return Entry(
        name=canonicalize_name(head["name"]),
        version=head["version"],
        marker=Marker(head["marker"]) if head["marker"] else None,
        hashes=tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})\b", block)),
        via=tuple(name for name in via if name != "via"),
    )


if __name__ == "__main__":
    write(sys.argv[1:])
