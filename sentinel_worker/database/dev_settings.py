"""Settings of the queue for development: what takes minutes in production takes seconds."""

from typing import Final

import psycopg

SHORTEN: Final = "update sentinel.settings set value = '10' where name = 'lane_grace_seconds' and value = '900'"
"""A grace that a developer has chosen stays."""


def shorten_waits(db_url: str) -> None:
    """Let requests that nobody serves fail after ten seconds."""
    with psycopg.connect(db_url, autocommit=True) as connection:
        connection.execute(SHORTEN)
