"""Missing rights behind refusals by PostgREST or Storage: one sentence that says what to run or fix."""

import re
from typing import Final

from sentinel_worker.supabase_client.keys import Key

WORKER: Final = "sentinel_worker"
_ROLES: Final = (WORKER, "service_role")
_SIGN: Final = "sign one with the project's JWT secret and the claims role=sentinel_worker and exp"
_FUNCTION: Final = re.compile(r"permission denied for function (\w+)")
_SCHEMA: Final = re.compile(r"permission denied for schema (\w+)")
_TABLE: Final = re.compile(r"permission denied for table (\w+)")
_SET_ROLE: Final = re.compile(r'permission denied to set role "([^"]+)"')
_NO_ROLE: Final = re.compile(r'role "([^"]+)" does not exist')
# Messages of PostgREST, the gateway and Storage.
_EXPIRED: Final = re.compile(r'JWT expired|"exp" claim timestamp check failed')
_UNSIGNED: Final = re.compile(
    r"JW[ST]|No suitable key|signature verification failed|Invalid Compact|[Ii]nvalid.*(?:JWT|token)"
)
_NO_KEY: Final = re.compile(r"Invalid API key|No API key")


def refused_right(code: str, text: str, key: Key | None) -> str | None:
    """Return a sentence, without its full stop, for an error with SQLSTATE or PGRST `code` and message `text`.

    None if the error does not name the right, or if the `key` that was sent is unknown.
    """
    if key is None:
        return None
    return _wrong_key(code, text, key) or _wrong_role(text, key) or _missing_grant(text, str(key.role))


def _wrong_key(code: str, text: str, key: Key) -> str | None:
    if code == "PGRST303" or _EXPIRED.search(text):
        return f"{key.token_name} has expired: {_SIGN}"
    if _NO_KEY.search(text):
        return f"{key.api_key_name} is not a key of this project: copy it from the project's settings"
    if code == "PGRST301" or _UNSIGNED.search(text):
        return f"{key.token_name} is not a JWT signed by this project: {_SIGN}"
    return None


def _wrong_role(text: str, key: Key) -> str | None:
    if no_role := _NO_ROLE.search(text):
        if no_role[1] == WORKER:
            return f"The role {WORKER} does not exist: run sentinel-worker migrate"
        return f"{key.token_name} has the role {no_role[1]}, which does not exist: {_SIGN}"
    if key.role is None:
        return f"{key.token_name} names no role, so it acts as anon: {_SIGN}"
    if key.role not in _ROLES:
        return f"{key.token_name} has the role {key.role}, which is not a worker's: {_SIGN}"
    return None


def _missing_grant(text: str, role: str) -> str | None:
    if found := _FUNCTION.search(text):
        grant = f"grant execute on function public.{found[1]}(jsonb) to {role}"
        return f"The role {role} may not call {found[1]}: run {grant}"
    if found := _SCHEMA.search(text):
        return f"The role {role} may not use the schema {found[1]}: run grant usage on schema {found[1]} to {role}"
    if found := _TABLE.search(text):
        table = {"objects": "storage.objects", "buckets": "storage.buckets"}.get(found[1], found[1])
        rights = "select, insert, update, delete" if found[1] == "objects" else "select"
        return f"The role {role} may not use {table}: run grant {rights} on {table} to {role}"
    if found := _SET_ROLE.search(text):
        return f"The API may not become {found[1]}: run grant {found[1]} to authenticator"
    return None
