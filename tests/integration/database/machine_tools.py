"""Parts shared by the state machine's rules: what each worker knows, transactions, and errors that may occur."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule

from tests.integration.database.queue_client import Row
from tests.integration.database.sessions import Session, Sessions, lease_of

REQUESTS: Final[Bundle[UUID]] = Bundle("requests")
CLAIMS: Final["Bundle[Claim]"] = Bundle("claims")
EITHER: Final = st.integers(0, 1)
"""Index of one of two users, or of two workers."""
Key = tuple[UUID, UUID]
"""Request and fence."""
Claim = tuple[UUID, UUID, UUID]
"""Request, fence, and the worker that received them."""


class Tools(RuleBasedStateMachine):
    """State beside the database's own. The caller that runs the machine sets `world`."""

    world: ClassVar[Sessions]
    seen: ClassVar[dict[str, int]] = {}
    """Counts of interesting events, over all examples."""

    def __init__(self) -> None:
        super().__init__()
        self.world.reset()
        self.answers: dict[str, str] = {}
        self.memory: dict[UUID, dict[UUID, UUID]] = {}
        """Requests that each worker knows it holds, with their fences."""
        self.most: int | None = None
        """Limit on the running requests of a user."""
        self.inserted = 0
        self.owners: dict[UUID, UUID] = {}

    @rule(which=st.integers(0, 4))
    def begin(self, which: int) -> None:
        session = self.world.all[which]
        if not session.is_open:
            session.begin()

    @rule(which=st.integers(0, 4), how=st.sampled_from(["commit", "commit", "rollback"]))
    def end(self, which: int, how: Literal["commit", "rollback"]) -> None:
        session = self.world.all[which]
        if session.is_open:
            session.end(how)
            if how == "commit":
                self.answers |= session.answers
            session.answers.clear()

    def call(self, session: Session, function: str, **args: Any) -> list[Row]:
        """Make a worker's call, the only one of its transaction, as PostgREST does; the transaction may stay open.

        In a transaction that wrote a lease before, PostgreSQL would check its foreign key again, and wait.
        """
        if session.is_open and session.has_called:
            self.end(which=self.world.all.index(session), how="commit")
            session.begin()
        return session.call(function, **args)

    def new_ids(self, count: int, user: UUID) -> list[UUID]:
        """Return new ids, the same in each run, because claims of one moment are ordered by id."""
        self.inserted += count
        ids = [UUID(int=self.inserted - number) for number in range(count)]
        self.owners |= dict.fromkeys(ids, user)
        return ids

    def holds(self, session: Session, request: UUID, fence: UUID) -> bool:
        lease = lease_of(session, request)
        return lease is not None and (lease["fence"], lease["worker"]) == (fence, session.worker)

    def remember(self, session: Session, request: UUID, fence: UUID, answer: str) -> None:
        (session.answers if session.is_open else self.answers)[f"{session.worker} {request} {fence}"] = answer

    def count(self, what: str) -> None:
        self.seen[what] = self.seen.get(what, 0) + 1

    @contextmanager
    def may_fail(self, session: Session, *more: type[psycopg.Error]) -> Iterator[None]:
        """End the open transaction on a lock that another session holds, or on an error that is a proper answer."""
        try:
            yield
        except more as error:
            self.count(type(error).__name__)
        except psycopg.errors.LockNotAvailable:
            self.count("blocked")
            if not self.world.open_besides(session):
                raise

    @contextmanager
    def never_waits(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise AssertionError(f"a worker's call was refused or had to wait: {error}") from error
