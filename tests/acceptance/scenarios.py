"""Scenarios that every client must be able to play, each in its own language."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg

from sentinel_local_supabase.faults import Faults, RealtimeFaults
from sentinel_local_supabase.stack import Stack
from tests.integration.local.clients import connected

Parameters = dict[str, Any]
Arrangement = Callable[[Stack], AbstractAsyncContextManager[Parameters]]

LIMITS = {"max_open_requests": 2, "max_requests_per_hour": 3, "max_stored_bytes": 1000, "max_retries_per_hour": 1}
LIMIT_SECONDS = 40
"""Time limit of a scenario, which every client enforces."""
THREE_RESULTS = """
with succeeded as (
  insert into public.analysis_requests (user_id, storage_path, original_name, run_at)
  values (%(user)s::uuid, %(user)s || '/1.mp4', 'Fräulein_1.mp4', '2100-01-01') returning id),
failed as (
  insert into public.analysis_requests (user_id, storage_path, original_name, run_at, created_at)
  values (%(user)s::uuid, %(user)s || '/2.mp4', '100%%.mp4', '2100-01-01', now() + interval '1 s')),
results as (
  insert into public.analysis_results (
    request_id, user_id, fence, attempt, verdict, fake_probability, is_current, superseded_at)
  select s.id, %(user)s::uuid, gen_random_uuid(), 1, 'fake', p, p = 0.75,
         case when p <> 0.75 then now() + p * interval '1 s' end
    from succeeded s, unnest(array[0.5, 0.75, 0.9]) p)
select set_config('sentinel.moving', 'on', true);
update public.analysis_requests set fence = gen_random_uuid(), status = 'succeeded', verdict = 'fake', progress = 100,
       fake_probability = 0.75, finished_at = now() where user_id = %(user)s::uuid and storage_path like '%%/1.mp4';
select set_config('sentinel.moving', '', true);
update public.analysis_requests set status = 'failed' where user_id = %(user)s::uuid and storage_path like '%%/2.mp4';
"""
"""Only a worker may set `succeeded`, so this moves the request as the functions for workers do."""
TOKEN_SECONDS = 10
"""Lifetime of a short token: long enough to join with, short enough to wait for its expiry."""


@asynccontextmanager
async def nothing(_: Stack) -> AsyncIterator[Parameters]:
    """No preparation."""
    yield {}


@asynccontextmanager
async def small_quotas(stack: Stack) -> AsyncIterator[Parameters]:
    """Set every quota as the operator, and restore them afterwards."""
    change = "update sentinel.settings set value = %s::jsonb where name = %s"
    async with await psycopg.AsyncConnection.connect(stack.superuser_dsn, autocommit=True) as database:
        before = await (await database.execute("select value::text, name from sentinel.settings")).fetchall()
        for name, limit in LIMITS.items():
            await database.execute(change, [str(limit), name])
        try:
            yield {}
        finally:
            for value, name in before:
                await database.execute(change, [value, name])


@asynccontextmanager
async def silent_realtime(stack: Stack) -> AsyncIterator[Parameters]:
    """Realtime responds but delivers no changes."""
    await stack.misbehave(Faults(realtime=RealtimeFaults(lose_changes=True)))
    try:
        yield {}
    finally:
        await stack.behave()


@asynccontextmanager
async def expired_token(stack: Stack) -> AsyncIterator[Parameters]:
    """A token that expired an hour ago."""
    claims = {"sub": str(uuid4()), "role": "authenticated", "exp": int(time.time()) - 3600}
    yield {"expired_token": stack.keys.sign(claims)}


@asynccontextmanager
async def short_token(stack: Stack) -> AsyncIterator[Parameters]:
    """An account, and its token that expires soon."""
    email, password = f"{uuid4()}@example.com", "correct horse"
    async with connected(stack.url, stack.secret_key) as server:
        made = await server.auth.admin.create_user({"email": email, "password": password, "email_confirm": True})
    claims = {"sub": made.user.id, "role": "authenticated", "exp": int(time.time()) + TOKEN_SECONDS}
    yield {"email": email, "password": password, "token": stack.keys.sign(claims)}


@asynccontextmanager
async def several_results(stack: Stack) -> AsyncIterator[Parameters]:
    """An account with a request that succeeded three times, and one that failed."""
    email, password = f"{uuid4()}@example.com", "correct horse"
    async with connected(stack.url, stack.secret_key) as server:
        made = await server.auth.admin.create_user({"email": email, "password": password, "email_confirm": True})
    async with await psycopg.AsyncConnection.connect(stack.superuser_dsn, autocommit=True) as database:
        await psycopg.AsyncClientCursor(database).execute(THREE_RESULTS, {"user": made.user.id})
    yield {"email": email, "password": password}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario; `name` is the function in each language. `server_only` ones need the secret key, so no browser;
    `browser_only` ones need a page."""

    name: str
    title: str
    arrange: Arrangement = nothing
    server_only: bool = False
    browser_only: bool = False


SCENARIOS = (
    Scenario("sign_in", "sign up, out and in; wrong and weak passwords"),
    Scenario("anonymous", "an anonymous visitor becomes a permanent user"),
    Scenario("sessions", "refresh tokens rotate; scopes of signing out"),
    Scenario("administration", "a server creates, changes and deletes users", server_only=True),
    Scenario("small_upload", "upload and download a film"),
    Scenario("large_upload", "upload in chunks, pause, go on, progress"),
    Scenario("forgotten_upload", "an upload that the server forgot begins anew"),
    Scenario("discarded_upload", "remove a file whose request was refused"),
    Scenario("signed_upload", "upload by a signed URL, without a session"),
    Scenario("verdict", "ask, watch, read the evidence, show pictures"),
    Scenario("poll", "a verdict though Realtime delivers nothing", silent_realtime),
    Scenario("batch", "a batch, watched as one"),
    Scenario("hook", "a React component follows an analysis", browser_only=True),
    Scenario("lists", "pages, counts, filters, current results", several_results),
    Scenario("cancel", "cancel what waits"),
    Scenario("retry", "run a failed request again"),
    Scenario("remove", "delete a request, its results and files"),
    Scenario("quotas", "every quota refuses, and says why", small_quotas),
    Scenario("errors", "every error code of the page", expired_token),
    Scenario("token_refresh", "a subscription outlives its first token", short_token),
    Scenario("privacy", "what strangers can and cannot see"),
)
