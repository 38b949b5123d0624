"""Loops of the worker that run in a test alone."""

from typing import NoReturn

from sentinel_worker.concurrency.supervisor import Supervisor
from sentinel_worker.domain.errors import Fatal


def supervisor() -> Supervisor:
    """One whose loops end with the fault that recurs."""

    def broken(error: Fatal) -> NoReturn:
        raise error

    return Supervisor(broken)
