"""The worker's side of derived files: what a child sends is checked, and written beside its upload."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sentinel_worker.domain.machine_errors import machine_errors_translated
from sentinel_worker.media.derived_protocol import check_form


def keep_file(content: bytearray, directory: Path, name: str) -> Path:
    """Write `directory/name`, completely or not at all, readable only by this user; raises `Transient('disk_full')`.

    An existing entry of that name is replaced and never followed, in case a child left a link there.
    """
    check_form(name, content)
    path = directory / name
    with machine_errors_translated():
        with tempfile.NamedTemporaryFile(dir=directory, delete=False) as part:
            part.write(content)
        Path(part.name).replace(path)
    return path
