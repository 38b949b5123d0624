"""Errors of a migration as the commands show them: a mistake to fix, or a failure that may pass."""

from collections.abc import Iterator
from contextlib import contextmanager

from sentinel_worker.database.migrate import MigrationError
from sentinel_worker.domain.errors import Fatal, Transient


@contextmanager
def migration_errors_translated() -> Iterator[None]:
    """Raise Fatal('migration_refused') or Transient('database_unavailable') for a MigrationError of the block."""
    try:
        yield
    except MigrationError as error:
        if error.passing:
            raise Transient("database_unavailable", str(error)) from error
        raise Fatal("migration_refused", str(error)) from error
