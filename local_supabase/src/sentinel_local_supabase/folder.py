"""The data folder of one stack: private to its account, and used by one process at a time."""

import fcntl
import os
import shutil
from pathlib import Path

from sentinel_local_supabase.errors import LocalSupabaseError
from sentinel_local_supabase.process_lookup import live_server

LOCK = "lock"


class DataFolder:
    """A folder that `take` creates, makes private and locks, until `release` or the end of this process.

    The file `lock` in it names the holder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.keys = self.path / "keys.json"
        self.postgres = self.path / "postgres"
        self._lock: int | None = None

    def take(self, *, fresh: bool = False) -> None:
        """Lock the folder; `fresh` empties it.

        Raises LocalSupabaseError if another process holds it or a local Supabase did not create it.
        """
        is_new, is_ours = not self._contents(), self.keys.is_file()
        if fresh and not is_new and not (is_ours and self.postgres.is_dir()):
            raise LocalSupabaseError(
                "folder_foreign",
                f"{self.path} was not created by a local Supabase, so it is not emptied: "
                "choose another folder (--data).",
            )
        self.path.mkdir(parents=True, exist_ok=True)
        if is_new or is_ours:
            _close_to_others(self.path, 0o700)
            _close_to_others(self.keys, 0o600)
            _close_to_others(self.postgres / "password", 0o600)
        self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._hold()
            if fresh:
                self._empty()
        except BaseException:
            self.release()
            raise

    def announce(self, url: str) -> None:
        """Write the URL of this folder's Supabase into the lock."""
        self._write(f"use that one at {url}")

    def release(self) -> None:
        """Release the lock; repeated calls do nothing."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _hold(self) -> None:
        assert self._lock is not None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalSupabaseError("folder_in_use", self._who_holds_it()) from None
        self._write("wait until it has started and use that one")
        server = live_server(self.postgres / "cluster")
        if server is not None:  # its parent was killed a moment ago
            raise LocalSupabaseError(
                "folder_in_use",
                f"PostgreSQL, process {server}, still uses {self.path}: wait until it ends, stop it, "
                "or choose another folder (--data).",
            )

    def _write(self, advice: str) -> None:
        assert self._lock is not None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()} {advice}".encode(), 0)

    def _who_holds_it(self) -> str:
        process, _, advice = (self.path / LOCK).read_text().partition(" ")
        return (
            f"Process {process} keeps a local Supabase in {self.path}: {advice}, "
            "choose another folder (--data), or stop it."
        )

    def _contents(self) -> list[Path]:
        return [child for child in self.path.iterdir() if child.name != LOCK] if self.path.exists() else []

    def _empty(self) -> None:
        for child in self._contents():
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()


def _close_to_others(path: Path, mode: int) -> None:
    """Remove permissions beyond `mode` from what we own; a server started by root runs as another account."""
    if not path.exists():
        return
    status = path.stat()
    if os.geteuid() in (status.st_uid, 0) and status.st_mode & 0o777 & ~mode:
        path.chmod(mode)
