"""Users in turn: among those who wait, the one whose last turn is longest ago goes first."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from uuid import UUID

REMEMBERED_USERS = 1000
"""Number of users whose last turn is remembered; a forgotten user counts as one who never had a turn."""

User = UUID | None
"""A request's owner; None is the operator, whose files belong to no request."""


class Turns:
    """Last turn of each user. Giving up and coming back costs no turn."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._last: dict[User, int] = {}
        """Oldest first."""

    def first(self, users: Iterable[User]) -> User:
        """Return the user of `users`, of whom there is at least one, whose turn it is."""
        return min(users, key=lambda user: self._last.get(user, 0))

    def note(self, user: User) -> None:
        """Record that `user` had a turn."""
        self._last.pop(user, None)
        self._last[user] = next(self._numbers)
        if len(self._last) > REMEMBERED_USERS:
            del self._last[next(iter(self._last))]
