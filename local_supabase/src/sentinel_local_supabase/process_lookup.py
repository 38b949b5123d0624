"""Find the process that holds a database folder or a port, as far as this account can see."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sentinel_local_supabase.errors import LocalSupabaseError

_LISTENING: Final = "0A"


def live_server(cluster: Path) -> int | None:
    """Return the process id of the PostgreSQL that runs on a cluster folder; None if there is none."""
    try:
        process = int((cluster / "postmaster.pid").read_text().split()[0])
        name = Path(f"/proc/{process}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError, ValueError, IndexError):
        return None
    return process if name == "postgres" else None


def refuse_held_port(port: int, option: str = "--port") -> None:
    """Raise LocalSupabaseError, naming the holder and the option to change, if 127.0.0.1:`port` is not free."""
    try:
        _listen(port)
    except OSError as error:
        reason = error.strerror or "no reason given"
        raise LocalSupabaseError("port_in_use", _who_listens(port, reason, option)) from error


def is_free(port: int) -> bool:
    """Return True if a server could listen on 127.0.0.1:`port`."""
    try:
        _listen(port)
    except OSError:
        return False
    return True


def _listen(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the gateway and PostgreSQL
        probe.bind(("127.0.0.1", port))


def _who_listens(port: int, reason: str, option: str) -> str:
    holder = _listener_on(port)
    if holder is None:
        return f"The local Supabase cannot listen on 127.0.0.1:{port} ({reason}): choose another port ({option})."
    starter = _starter_of_gateway(holder)
    if starter is None:
        return f"Process {holder} listens on 127.0.0.1:{port}: choose another port ({option}), or stop it."
    return (
        f"Process {starter} keeps a local Supabase at http://127.0.0.1:{port}: use that one, "
        f"choose another port ({option}), or stop it."
    )


def _listener_on(port: int) -> int | None:
    sockets = {f"socket:[{inode}]" for inode in _sockets_on(port)}
    processes = sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return next((process for process in processes if not sockets.isdisjoint(_open_files(process))), None)


def _sockets_on(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == _LISTENING and int(local.rpartition(":")[2], 16) == port:
                yield inode


def _open_files(process: int) -> set[str]:
    files = set()
    try:
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            files.add(str(descriptor.readlink()))
    except OSError:  # another account's process, or one that has ended
        return files
    return files


def _starter_of_gateway(process: int) -> int | None:
    """Return the process that started a local Supabase's gateway, the one to stop; None for any other process."""
    try:
        command = Path(f"/proc/{process}/cmdline").read_text().split("\0")
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    parent = re.search(r"^PPid:\s+(\d+)$", status, re.MULTILINE)
    return int(parent[1]) if parent and "sentinel_local_supabase.gateway.app" in command else None
