"""Advice for addresses of hosted projects that this machine cannot reach: `db.<ref>.supabase.co` has only IPv6."""

import re
from typing import Final

import psycopg
from psycopg import conninfo

_DIRECT: Final = re.compile(r"db\.([a-z0-9]+)\.supabase\.co")
_NO_ROUTE: Final = re.compile(
    "Network is unreachable|No route to host|Cannot assign requested address|Address family not supported|"
    "could not translate host name|failed to resolve host|timeout expired|timed out",
    re.IGNORECASE,
)


def advice(db_url: str, error: psycopg.Error) -> str:
    """Return a sentence to add to a connection's error; empty unless the host is a project's direct address."""
    try:
        host = str(conninfo.conninfo_to_dict(db_url).get("host", ""))
    except psycopg.Error:
        return ""
    direct = _DIRECT.fullmatch(host)
    if direct is None or not _NO_ROUTE.search(str(error)):
        return ""
    # In parts: a URL with a password's place would be masked.
    return (
        f"\n{host} has only IPv6 addresses, and this machine seems to have no route to them. Use the project's session "
        f"pooler: user postgres.{direct[1]}, host aws-0-REGION.pooler.supabase.com, port 5432, the same password "
        "(in the dashboard: Connect, Session pooler)"
    )
