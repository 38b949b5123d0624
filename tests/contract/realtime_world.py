"""Activity around the clients while Realtime was recorded, in SQL and over HTTP."""

# A table only of the replay, for rows that show the server's progress.
MARKERS = "markers"
BEGINNING = f"""
create table public.{MARKERS} (id uuid primary key);
grant select on public.{MARKERS} to service_role;
alter publication supabase_realtime add table public.{MARKERS};
"""
INSERT_MARKER = "insert into public.markers (id) values (%s)"
_ROW = "insert into public.analysis_requests (user_id) values"
_PUBLISH = "alter publication supabase_realtime add table public.not_published"
# Actions that sent nothing or are not visible in the events. The other user's id is 9….
STATEMENTS = {
    "update to status=running": "update public.analysis_requests set status = 'running'",
    "authenticated user sub=": f"{_ROW} (repeat('9', 32)::uuid)",
    "update the other row": "update public.analysis_requests set status = '' where user_id = repeat('9', 32)::uuid",
    "update own row so that": "update public.analysis_requests set user_id = repeat('9', 32)::uuid",
    "anon role, no policy": f"{_ROW} (null)",
    "same with RLS off": "alter table public.analysis_requests disable row level security",
    "rolled back transaction": f"begin; {_ROW} (null); rollback",
    "truncate": "truncate public.analysis_requests",
    "session_replication_role": _PUBLISH,
    "alter publication supabase_realtime": _PUBLISH,
    "2 inserts while disconnected": f"{_ROW} (null), (null)",
}
# Written, and lost, after the reply to a join and before the subscription is ready. The real server took up to two
# seconds in between; the local one is told to take a moment.
BEFORE_READY = {
    "2.102.1/09c_insert_between_reply_and_system": f"{_ROW} (null)",
    "2.102.1/13_cold_start_lost_window": f"{_ROW} (null)",
}
# Sent by others when a client is expected to receive it.
OVER_HTTP = {"rest": {"x": 1}, "rest2": {"x": 2}}
FROM_DATABASE = {"created": "select realtime.send('{\"job\": 1}'::jsonb, 'created', 'dbroom', true)"}
