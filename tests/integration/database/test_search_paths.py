"""No schema of a caller reaches into the queue's functions."""

from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.integration.database.queue_client import RESULT, Queue

OURS = """
select p.oid::regprocedure::text as name, coalesce('search_path=""' = any (p.proconfig), false) as sets_path
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
 where n.nspname = 'sentinel' or n.nspname = 'public' and p.proname ~ 'analysis|sentinel'
"""
HOSTILE = """
create schema hostile;
grant usage on schema hostile to public;
create function hostile.jsonb_typeof(jsonb) returns text language plpgsql as $$
  begin raise exception 'reached'; end $$;
create function hostile.set_config(text, text, boolean) returns text language plpgsql as $$
  begin raise exception 'reached'; end $$;
create function hostile.pg_try_advisory_xact_lock(bigint) returns boolean language plpgsql as $$
  begin raise exception 'reached'; end $$;
create function hostile.arrow(jsonb, text) returns jsonb language plpgsql as $$ begin raise exception 'reached'; end $$;
create operator hostile.-> (leftarg = jsonb, rightarg = text, function = hostile.arrow);
create function hostile.text_equals(text, text) returns boolean language plpgsql as $$
  begin raise exception 'reached'; end $$;
create operator hostile.= (leftarg = text, rightarg = text, function = hostile.text_equals);
set search_path = hostile, pg_catalog
"""


def test_every_function_sets_its_search_path(queue: Queue) -> None:
    functions = queue.sql(OURS)
    assert len(functions) > 50
    assert [one["name"] for one in functions if not one["sets_path"]] == []


def test_a_hostile_search_path_reaches_no_function_of_the_queue(disposable: Queue) -> None:
    """A new session makes every plan with the caller's path set."""
    queue = disposable
    queue.sql("update sentinel.settings set value = '10' where name = 'max_running_requests'")
    queue.insert(count=4)
    with psycopg.connect(queue.superuser_dsn, autocommit=True) as connection:
        connection.execute(HOSTILE)
        with pytest.raises(psycopg.errors.RaiseException, match="reached"):
            connection.execute("select jsonb_typeof('{}')")

        def call(function: str, **args: object) -> list[tuple[object, ...]]:
            query = b"select * from public.%s(%%s)" % function.encode()
            return connection.execute(query, (Jsonb({"worker": str(queue.worker)} | args),)).fetchall()

        shares = {"slots": 8, "holding": {str(uuid4()): 1}}
        claims = call("sentinel_claim", lanes=["auto/default"], limit=3, held=[], **shares)
        assert len(claims) == 3
        assert len(call("sentinel_claim", lanes=["auto/default"], limit=3, held=[], **shares)) == 3, "offered again"
        keys = [{"id": str(claim[0]), "fence": str(claim[1])} for claim in claims]
        assert len(call("sentinel_heartbeat", leases=keys)) == 3
        assert len(call("sentinel_progress", progress=[key | {"stage": "probing"} for key in keys])) == 3
        outcomes = [
            key | {"outcome": outcome, "result": RESULT, "compute": {"cpu_seconds": 1}}
            for key, outcome in zip(keys, ("succeeded", "retry", "released"), strict=True)
        ]
        assert sorted(str(row[1]) for row in call("sentinel_finish", outcomes=outcomes)) == [
            "queued", "scheduled", "succeeded"
        ]  # fmt: skip
        assert len(call("sentinel_finish", outcomes=outcomes)) == 3, "answered from the history"
        call("sentinel_maintain", name="w", version="0", lanes=["auto/default"], slots=8)
        call("sentinel_deletions", limit=10)
