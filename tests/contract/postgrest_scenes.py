"""Context of the recorded PostgREST calls: statements between and during them, and parts not recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping

USER = "11111111-1111-1111-1111-111111111111"
ROLES = """
do $$ begin
  if not exists (select from pg_roles where rolname = 'sentinel_worker') then
    create role sentinel_worker nologin;
  end if;
end $$;
grant sentinel_worker to authenticator, service_role;
grant usage on schema public, auth to sentinel_worker;
"""
# Some calls ask for any one row. It depends on the physical order, which a vacuum would change.
UNTOUCHED = "alter table public.jobs set (autovacuum_enabled = off)"


def _unnoticed(statement: str) -> str:
    """Return a schema change without a notification to PostgREST."""
    triggers = ("pgrst_ddl_watch", "pgrst_drop_watch")
    off = "; ".join(f"alter event trigger {name} disable" for name in triggers)
    on = "; ".join(f"alter event trigger {name} enable" for name in triggers)
    return f"{off}; {statement}; {on}"


# SQL run by the superuser before the exchange with that label.
BEFORE: Mapping[str, str] = {
    "fk violation delete (23503)": "insert into results (job_id) select id from jobs where key = 'k3'",
    "max-rows: select 1500 rows without limit": "insert into jobs (key, owner) select 'm' || g, "
    "'11111111-1111-1111-1111-111111111111' from generate_series(1, 1500) g",
    "dropped fn after reload": _unnoticed(
        "create function public.fresh1() returns int language sql return 1; drop function public.fresh1()"
    ),
    "stale cache: select * sees new column": _unnoticed("alter table public.jobs add newcol int"),
    "after NOTIFY: insert new column": "notify pgrst, 'reload schema'",
    "stale cache: dropped column in insert (42703)": _unnoticed("alter table public.jobs drop newcol"),
    "insert-only role, return=representation": "grant insert on public.results to sentinel_worker; "
    "create policy worker_ins on public.results for insert to sentinel_worker with check (true)",
    "insert policy + select grant without select policy, return=representation": "grant select on public.results "
    "to sentinel_worker",
    "upsert as insert-only role": "revoke select on public.results from sentinel_worker",
}

_SLEEPING = "from pg_stat_activity where usename = 'authenticator' and wait_event = 'PgSleep'"
# SQL run by the superuser during the call, repeated until it returns a row.
DURING: Mapping[str, str] = {
    "backend terminated mid-request": f"select pg_terminate_backend(pid) {_SLEEPING}",
    "query cancelled mid-request (pg_cancel_backend)": f"select pg_cancel_backend(pid) {_SLEEPING}",
}
OUTAGE_BEGINS = "db down: rpc (POST, no client retry)"
OUTAGE_ENDS = "worker token with non-uuid sub: auth.uid() raises"
# Called at once, on so many connections; the order of the responses is free.
PARALLEL = "pool exhausted (12 parallel slow, db-pool 10)"
# The requested reload takes a moment: refused calls are sent again.
EVENTUALLY = ("after NOTIFY: insert new column",)

_OBJECT = {"accept": "application/vnd.pgrst.object+json"}
CLIENT = {
    "x-client-info": "supabase-py/2.34.1; platform=Linux; platform-version=6.18.0; "
    "runtime=python; runtime-version=3.11.7"
}
# Headers that the recorder left out, known from the responses.
HEADERS: Mapping[str, Mapping[str, str]] = {
    "select single ok": _OBJECT,
    "select single, 0 rows (PGRST116)": _OBJECT,
    "select single, many rows (PGRST116)": _OBJECT,
    "raw: nulls stripped": {"accept": "application/vnd.pgrst.array+json;nulls=stripped"},
    "raw: csv": {"accept": "text/csv"},
    "wrong accept": {"accept": "image/png"},
}
# Bodies recorded only as size and hash.
BODIES: Mapping[str, str] = {
    "body 8 MB json insert": json.dumps(
        {"key": "big8", "owner": USER, "payload": {"x": "y" * 8_000_000}}, separators=(",", ":")
    ),
}
