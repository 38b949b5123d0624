"""Loops of the worker that run in a test alone."""

from typing import NoReturn

from sentinel_worker.errors import Fatal
from sentinel_worker.supervisor import Supervisor


def supervisor() -> Supervisor:
    """One whose loops end with the fault that recurs."""

    def broken(error: Fatal) -> NoReturn:
        raise error

    return Supervisor(broken)
