"""Evidence that a hint is dead although its connection looks alive: queued rows that it did not announce.

One such row proves nothing. While a project exceeds its rate limit, Realtime silently drops row changes, and broadcasts
too. So a connection is given up only after `ROWS` of them in a row that were queued at least `patience` apart. Rows of
an earlier connection prove nothing about a new one. Each renewal that brought no hint doubles the patience: a project
that is overloaded for a day costs about 30 reconnections.
"""

from typing import Final

ROWS: Final = 3


class Silence:
    """Rows in a row that a hint did not announce; times are monotonic, in seconds.

    `patience` doubles up to `longest` with each renewal, and starts again after a hint.
    """

    def __init__(self, patience: float, longest: float) -> None:
        self._first_patience = self._patience = patience
        self._longest = longest
        self._rows = 0
        self._since = 0.0

    def connected(self) -> None:
        """Note that a new connection is READY."""
        self._rows = 0

    def heard(self) -> None:
        """Note that a hint arrived."""
        self._rows = 0
        self._patience = self._first_patience

    def unannounced(self, queued_at: float) -> bool:
        """Note that a row queued at `queued_at` was not announced; return True if the hint must be renewed."""
        if self._rows == 0:
            self._since = queued_at
        self._rows += 1
        if self._rows < ROWS or queued_at - self._since < self._patience:
            return False
        self._rows = 0
        self._patience = min(2 * self._patience, self._longest)
        return True
