"""Every right of a worker, how to revoke it, and the sentence that the worker prints without it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

from sentinel_local_supabase.stack import Stack

HOUR_SECONDS = 3600
SIGN = "sign one with the project's JWT secret and the claims role=sentinel_worker and exp"


@dataclass(frozen=True, slots=True)
class Taken:
    """A revoked right: the project's owner or superuser runs `take`, or the key is bad: `claims`, `key`, `secret`.

    `needed` is True if requests cannot be answered without the right.
    """

    right: str
    sentence: str
    take: str = ""
    give: str = ""
    by_superuser: bool = False
    needed: bool = True
    claims: Mapping[str, Any] = field(default_factory=dict)
    secret: str | None = None
    token: str | None = None
    key: str | None = None


def _function(name: str, *, needed: bool = True) -> Taken:
    grant = f"grant execute on function public.{name}(jsonb) to sentinel_worker"
    return Taken(
        f"EXECUTE on `{name}`",
        f"The role sentinel_worker may not call {name}: run {grant}",
        take=f"revoke execute on function public.{name}(jsonb) from sentinel_worker",
        give=grant,
        needed=needed,
    )


def _policy(name: str, table: str, loss: str, definition: str, *, needed: bool = True) -> Taken:
    create = f'create policy "{name}" on {table} {definition}'
    return Taken(
        f'the policy "{name}" on `{table}`',
        f'The policy "{name}" on {table} is missing, so the role sentinel_worker {loss}: run {create}',
        take=f'drop policy "{name}" on {table}',
        give=create,
        needed=needed,
    )


def _token(right: str, sentence: str, **bad: Any) -> Taken:
    return Taken(right, sentence, **bad)


PICTURES = "cannot store pictures"
WAKE = "(realtime.topic() = 'sentinel:wake' and extension = 'broadcast')"
BUCKETS = "bucket_id in ('media', 'derived')"

TAKEN: tuple[Taken, ...] = (
    _function("sentinel_claim"),
    _function("sentinel_heartbeat"),
    _function("sentinel_finish"),
    _function("sentinel_maintain"),
    _function("sentinel_progress", needed=False),
    _function("sentinel_deletions", needed=False),
    _function("sentinel_rights"),
    Taken(
        "USAGE on the schema `public`",
        "The role sentinel_worker may not use the schema public: run grant usage on schema public to sentinel_worker",
        take="revoke usage on schema public from public, anon, sentinel_worker",
        give="grant usage on schema public to public, anon, sentinel_worker",
        by_superuser=True,
    ),
    Taken(
        "`sentinel_worker` for `authenticator` and `service_role`",
        "The API may not become sentinel_worker: run grant sentinel_worker to authenticator",
        take="revoke sentinel_worker from authenticator; revoke sentinel_worker from service_role",
        give="grant sentinel_worker to authenticator; grant sentinel_worker to service_role",
    ),
    Taken(
        "`sentinel_worker` for `service_role`",
        "Realtime may not become sentinel_worker, which ends the row changes of every client of the project: "
        "run grant sentinel_worker to service_role",
        take="revoke sentinel_worker from service_role",
        give="grant sentinel_worker to service_role",
        needed=False,
    ),
    Taken(
        "`anon` for `sentinel_worker`",
        "The role sentinel_worker may not select realtime.messages, so it receives no broadcast wake-ups: "
        "run grant anon to sentinel_worker",
        take="revoke anon from sentinel_worker",
        give="grant anon to sentinel_worker",
        needed=False,
    ),
    Taken(
        "every grant on `storage.objects`",
        "The role sentinel_worker may not select storage.objects, so it cannot fetch media: "
        "run grant anon to sentinel_worker",
        take="revoke anon from sentinel_worker; revoke all on storage.objects from sentinel_worker",
        give="grant anon to sentinel_worker; grant all on storage.objects to sentinel_worker",
    ),
    Taken(
        "SELECT on `public.analysis_requests`",
        "The role sentinel_worker may not select public.analysis_requests, so it receives no row changes: "
        "run grant select on public.analysis_requests to sentinel_worker",
        take="revoke select on public.analysis_requests from sentinel_worker",
        give="grant select on public.analysis_requests to sentinel_worker",
        needed=False,
    ),
    _policy(
        "sentinel: worker reads", "storage.objects", "cannot fetch media",
        f"for select to sentinel_worker using ({BUCKETS})",
    ),
    _policy(
        "sentinel: worker adds derived", "storage.objects", PICTURES,
        "for insert to sentinel_worker with check (bucket_id = 'derived')",
    ),
    _policy(
        "sentinel: worker replaces derived", "storage.objects", PICTURES,
        "for update to sentinel_worker using (bucket_id = 'derived') with check (bucket_id = 'derived')",
    ),
    _policy(
        "sentinel: worker removes what was deleted", "storage.objects", "cannot remove the files of deleted requests",
        f"for delete to sentinel_worker using ({BUCKETS} and sentinel.may_remove(bucket_id, name, version))",
        needed=False,
    ),
    _policy(
        "sentinel: worker hears wake-ups", "realtime.messages", "receives no broadcast wake-ups",
        f"for select to sentinel_worker using {WAKE}", needed=False,
    ),
    _policy(
        "worker: read", "public.analysis_requests", "receives no row changes",
        "for select to sentinel_worker using (true)", needed=False,
    ),
    _token("the JWT's claim `role`", f"SENTINEL_WORKER_JWT names no role, so it acts as anon: {SIGN}",
           claims={"role": None}),
    _token("a role of a worker in it",
           f"SENTINEL_WORKER_JWT has the role authenticated, which is not a worker's: {SIGN}",
           claims={"role": "authenticated"}),
    _token("a role that exists", f"SENTINEL_WORKER_JWT has the role nobody, which does not exist: {SIGN}",
           claims={"role": "nobody"}),
    _token("the JWT's time (`exp`)", "SENTINEL_WORKER_JWT expired at 2001-09-09 01:46:40 UTC, so nothing is claimed: "
           "start the worker with a new SENTINEL_WORKER_JWT", claims={"exp": 1_000_000_000}),
    _token("its signature", f"SENTINEL_WORKER_JWT is not a JWT signed by this project: {SIGN}",
           secret="of another project " * 3),
    _token("its form", f"SENTINEL_WORKER_JWT is not a JWT signed by this project: {SIGN}", token="no-jwt-at-all"),
    _token("the publishable key", "SUPABASE_PUBLISHABLE_KEY is not a key of this project: "
           "copy it from the project's settings", key="sb_publishable_of_another_project"),
)  # fmt: skip


def worker_token(stack: Stack, taken: Taken | None = None) -> str:
    """Return a worker's JWT for an hour; a bad one if `taken` says so."""
    if taken is not None and taken.token is not None:
        return taken.token
    claims = {"role": "sentinel_worker", "aud": "authenticated", "exp": int(time.time()) + HOUR_SECONDS}
    if taken is not None:
        claims = {name: value for name, value in {**claims, **taken.claims}.items() if value is not None}
    secret = taken.secret if taken is not None and taken.secret is not None else stack.jwt_secret
    return jwt.encode(claims, secret, algorithm="HS256")
