"""Install procrastinate and pgqueuer from PyPI in a separate virtual environment, and get their SQL."""

import json
import subprocess
import venv
from pathlib import Path
from typing import Final

from bench.queues import Pgqueuer, Procrastinate, System
from sentinel_local_supabase.stack import Stack

PACKAGES: Final = ("procrastinate==3.10.0", "pgqueuer==1.6.0")
SCRIPT: Final = Path(__file__).with_name("peer_sql.py")
# Needs -P: this folder has a module `queue`, which would shadow the standard library's.


def python(folder: Path) -> Path:
    """Return the path of the environment's interpreter."""
    return folder / "bin" / "python"


def open_peers(stack: Stack, folder: Path) -> list[System]:
    """Open each peer in a separate database; if they cannot be installed, print that and return an empty list.

    The environment is made in `folder` if it is missing or incomplete.
    """
    try:
        sql = _sql(folder)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no peers: {' and '.join(PACKAGES)} cannot be installed in {folder} ({error})")
        return []
    return [
        Procrastinate(stack.postgres.create_database("procrastinate"), sql["procrastinate"]),
        Pgqueuer(stack.postgres.create_database("pgqueuer"), sql["pgqueuer"]),
    ]


def _sql(folder: Path) -> dict[str, dict[str, str]]:
    if not _has_packages(folder):
        venv.create(folder, with_pip=True)
        subprocess.run([python(folder), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    found: dict[str, dict[str, str]] = json.loads(subprocess.check_output([python(folder), "-P", SCRIPT]))
    return found


def _has_packages(folder: Path) -> bool:
    if not python(folder).exists():
        return False
    imports = "import pgqueuer, procrastinate"
    return subprocess.run([python(folder), "-P", "-c", imports], check=False, stderr=subprocess.DEVNULL).returncode == 0
