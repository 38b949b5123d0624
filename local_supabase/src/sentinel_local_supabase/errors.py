"""The error raised when a local Supabase cannot be started, stopped or made to misbehave."""

from collections.abc import Mapping
from typing import Final

CODES: Final[Mapping[str, str]] = {
    "folder_in_use": "another process, named by its id, holds the folder",
    "folder_foreign": "the folder was not created by a local Supabase, so it is not emptied",
    "folder_closed": "PostgreSQL's account cannot reach the folder",
    "keys_damaged": "the file of keys in the folder is not one",
    "port_in_use": "another process, named by its id, holds the port of the gateway or of the database",
    "short_secret": "the JWT secret has fewer than 32 characters",
    "no_account": "this process runs as root, and no account exists to run PostgreSQL",
    "no_postgres": "PostgreSQL's programs are not installed",
    "database_create": "initdb failed; the message ends with its log",
    "database_start": "PostgreSQL did not start; the message ends with its log",
    "seed_failed": "a seed cannot be read, or its SQL failed; nothing of that file was kept",
    "gateway_start": "the gateway did not start",
    "gateway_away": "the gateway is not running, or has ended",
    "faults_refused": "the gateway refused the faults",
    "bad_faults": "faults that cannot be parsed; the message has one mistake a line",
}
"""Code and meaning, as docs/local.md lists them."""


class LocalSupabaseError(Exception):
    """The local Supabase cannot do what was asked until somebody changes something.

    `code` is one of `CODES`; `message` is one or more sentences for people, one a line.
    """

    def __init__(self, code: str, message: str) -> None:
        assert code in CODES, code
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
