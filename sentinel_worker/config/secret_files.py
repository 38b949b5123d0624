"""Secrets in files: a file that `<NAME>_FILE` names, or a systemd credential called `<NAME>`."""

import os
import stat
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 16 * 1024


def credential(name: str) -> Path | None:
    """File of the systemd credential `name` (LoadCredential=), or None if the service manager provided none."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, name) if folder else None
    return path if path is not None and path.exists() else None


def read(path: Path) -> str:
    """Return the only line of the file at `path`. Raises ValueError with a sentence that does not quote it."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError:
        raise ValueError(f"{path} does not contain a key: write only the key, in ASCII") from None
    if not text:
        raise ValueError(f"{path} is empty: write the key into it")
    if len(content) > MAX_BYTES or len(text.split()) > 1:
        raise ValueError(f"{path} contains more than a key: write only the key, on one line")
    return text


def is_exposed(path: Path) -> bool:
    """True if every user of this machine may read the file."""
    return bool(path.stat().st_mode & stat.S_IROTH)
