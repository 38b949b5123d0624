"""Worker loops that run in only one test."""

from typing import NoReturn

from sentinel_worker.concurrency.supervisor import Supervisor
from sentinel_worker.domain.errors import Fatal


def supervisor() -> Supervisor:
    """Return a supervisor whose loops raise the fault that recurs."""

    def broken(error: Fatal) -> NoReturn:
        raise error

    return Supervisor(broken)
