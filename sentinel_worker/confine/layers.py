"""Limits of a confined process, and the layers found to enforce them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Network = Literal["none", "own_namespace", "shared"]
Mode = Literal["auto", "require"]
"""`auto` takes the layers that the kernel grants, `require` insists on all of them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Resources that the kernel lets the process use: bytes of address space, CPU seconds, bytes of one file that it
    writes (0: it writes none), open descriptors."""

    memory_bytes: int
    cpu_seconds: int
    file_bytes: int = 0
    open_files: int = 64


@dataclass(frozen=True, slots=True)
class Walls:
    """The walls of one process; anything not named here is refused.

    The process runs in `directory`, reads what lies below `readable` and `writable`, and makes, changes and removes
    files below `writable`. `network`: `none` refuses every socket; `own_namespace` gives TCP sockets and a loopback
    device that no other process shares, and fails if the kernel grants no network namespace; `shared` gives TCP sockets
    on the machine's network, only for connections to `connect_ports` if Landlock knows TCP. `may_fork` also lets the
    process run programs that lie below `readable`.
    """

    directory: Path
    limits: Limits
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    network: Network = "none"
    connect_ports: tuple[int, ...] = ()
    may_fork: bool = False


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers in force, by name, and the kernel's reason for each missing one."""

    in_force: tuple[str, ...]
    missing: Mapping[str, str]
