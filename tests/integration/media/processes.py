"""The kernel's view of processes."""

from pathlib import Path


def processes(parent: int) -> set[int]:
    """Return the child processes of a process."""
    return {int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii").split()}


def descriptors_open(pid: int | str = "self") -> int:
    """Count a process's file descriptors."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def alive(pid: int) -> bool:
    """True if the process runs; a zombie does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text("utf-8")
    except FileNotFoundError:
        return False


def addresses(pid: int) -> set[str]:
    """Return the start addresses of a process's library code."""
    maps = Path(f"/proc/{pid}/maps").read_text("utf-8").splitlines()
    return {line.split("-")[0] for line in maps if "r-xp" in line and ".so" in line}
