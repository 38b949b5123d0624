"""The account to run a server under when it refuses to run as root, and the folders that account can reach."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from sentinel_local_supabase.errors import LocalSupabaseError

DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2


@dataclass(frozen=True, slots=True)
class Account:
    """User and group id to switch to, and the one Linux capability to keep (its number), if any."""

    uid: int
    gid: int
    capability: int | None


def unprivileged_account(owned: Path, *paths: Path) -> Account | None:
    """Return the account to drop to, or None if this process is not root.

    This is the owner of `owned` if it exists and does not belong to root, otherwise postgres or nobody.
    If one of `paths` is below a folder that the account may not enter (a checkout in root's home), keep the
    capability to read and search any folder: copying the data elsewhere would surprise its owner more.
    """
    if os.geteuid() != 0:
        return None
    entry = _owner(owned) or _entry("postgres") or _entry("nobody")
    if entry is None:
        raise LocalSupabaseError(
            "no_account",
            "PostgreSQL refuses to run as root, and neither account 'postgres' nor 'nobody' exists: create one, "
            "or run as an ordinary user.",
        )
    closed = next((path for path in paths if not _reaches(entry, path)), None)
    if closed is None:
        return Account(entry.pw_uid, entry.pw_gid, None)
    for capability in (DAC_READ_SEARCH, DAC_OVERRIDE):
        if _effective_capabilities() >> capability & 1:
            return Account(entry.pw_uid, entry.pw_gid, capability)
    raise LocalSupabaseError(
        "folder_closed",
        f"PostgreSQL refuses to run as root, and the account '{entry.pw_name}' cannot enter {closed}: "
        "choose another folder, or run as an ordinary user.",
    )


def _owner(path: Path) -> pwd.struct_passwd | None:
    try:
        uid = path.stat().st_uid
        return pwd.getpwuid(uid) if uid != 0 else None
    except (FileNotFoundError, KeyError):
        return None


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _reaches(entry: pwd.struct_passwd, path: Path) -> bool:
    return all(_may_enter(entry, folder.stat()) for folder in [path, *path.parents])


def _may_enter(entry: pwd.struct_passwd, status: os.stat_result) -> bool:
    if status.st_uid == entry.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == entry.pw_gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
