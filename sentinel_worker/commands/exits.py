"""Error exit of a command: one line per mistake on standard error, and the exit code."""

from typing import NoReturn

import typer
from rich.console import Console

from sentinel_worker.commands.console import plain
from sentinel_worker.domain.errors import CodedError, Fatal, SentinelError
from sentinel_worker.observe.masking import mask

EXIT_CONFIGURATION = 2
EXIT_TEMPORARY = 75

errors = Console(stderr=True, highlight=False, emoji=False)


def fail(error: SentinelError) -> NoReturn:
    """Print `error` and exit: 2 if something has to be fixed, 75 for a temporary failure."""
    for line in mask(error.message if isinstance(error, CodedError) else str(error)).splitlines():
        errors.print(f"[red]error[/red] {plain(line)}", soft_wrap=True)
    raise typer.Exit(EXIT_CONFIGURATION if isinstance(error, Fatal) else EXIT_TEMPORARY)
