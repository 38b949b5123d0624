"""Migration files, shipped or of a project, and the error of a migration."""

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from sentinel_worker.domain.errors import SentinelError

FILE_NAME: Final = re.compile(r"(\d{14})_(.+)\.sql")  # as the Supabase CLI names and reads them


class MigrationError(SentinelError):
    """The database cannot be migrated; the message names the file, the line and the SQLSTATE.

    `passing` is true if the same call may succeed later, without a change by anybody.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration file: its 14-digit version, its name without the version, its text."""

    version: str
    name: str
    text: str

    @property
    def file_name(self) -> str:
        """Name of the migration's file."""
        return f"{self.version}_{self.name}.sql"


def available(migrations_dir: Path | None = None) -> list[Migration]:
    """Return the migrations of a folder in order, by default those shipped with this package."""
    folder = migrations_dir or _shipped()
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: rename it to <14 digits>_<name>.sql, as every migration is named")
        found.append(Migration(match[1], match[2], path.read_text(encoding="utf-8")))
    if not found:
        raise MigrationError(f"no migrations in {folder}")
    return found


def _shipped() -> Path:
    package = files("sentinel_worker")
    assert isinstance(package, Path)
    inside, beside = package / "migrations", package.parent / "migrations"
    return inside if inside.is_dir() else beside
