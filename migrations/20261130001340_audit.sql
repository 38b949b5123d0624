-- A trace of evidence that was changed or deleted by hand (docs/adr/0029). The queue's own functions, deletions with the
-- request and retention leave none, and pay nothing: conditions decide before a function is called.

create table sentinel.audit (
  id           bigint generated always as identity primary key,
  at           timestamptz not null default clock_timestamp(),
  session_role text not null,
  role         text not null,
  jwt_sub      text,
  jwt_role     text,
  change       text not null,
  relation     text not null,
  request_id   uuid,
  row_id       uuid,
  was          jsonb not null,
  becomes      jsonb
);
create index audit_request on sentinel.audit (request_id);

create function sentinel.claims_of_caller() returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return nullif(current_setting('request.jwt.claims', true), '')::jsonb;
exception when data_exception then
  return null;
end $$;

-- The trigger's arguments name the columns of the row's id and of its request.
create function sentinel.trace() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_old jsonb := case when tg_level = 'ROW' then to_jsonb(old) end;
  v_new jsonb := case when tg_op = 'UPDATE' then to_jsonb(new) end;
  v_was jsonb;
  v_becomes jsonb;
begin
  if tg_op = 'UPDATE' then
    select jsonb_object_agg(o.key, o.value), jsonb_object_agg(o.key, v_new -> o.key) into v_was, v_becomes
      from jsonb_each(v_old) o where o.value is distinct from v_new -> o.key;
  elsif tg_op = 'DELETE' then
    v_was := v_old;
  else
    v_was := jsonb_build_object('rows', (select c.reltuples from pg_catalog.pg_class c where c.oid = tg_relid));
  end if;
  insert into sentinel.audit (
    session_role, role, jwt_sub, jwt_role, change, relation, request_id, row_id, was, becomes)
  values (
    session_user, coalesce(nullif(current_setting('role', true), 'none'), session_user),
    sentinel.claims_of_caller() ->> 'sub', sentinel.claims_of_caller() ->> 'role', lower(tg_op),
    tg_table_schema || '.' || tg_table_name, (v_old ->> tg_argv[1])::uuid, (v_old ->> tg_argv[0])::uuid, v_was, v_becomes);
  return null;
end $$;

create function sentinel.keep_audit() returns trigger
language plpgsql set search_path = '' as $$
begin
  raise exception using errcode = 'insufficient_privilege', message = 'The audit is only added to.',
    hint = 'To remove old entries, the owner of the database switches the trigger audit_keep off and on.';
end $$;

-- A requeue by hand ends a verdict as well; the result that it came from is kept.
create trigger analysis_requests_trace
  after update of verdict, fake_probability, coverage, longest_gap_seconds, detector on public.analysis_requests
  for each row when (
    old.finished_at is not null and new.status = old.status
    and (old.verdict, old.fake_probability, old.coverage, old.longest_gap_seconds, old.detector)
      is distinct from (new.verdict, new.fake_probability, new.coverage, new.longest_gap_seconds, new.detector))
  execute function sentinel.trace('id', 'id');
-- Functions of the queue write only the two columns that are not named.
create trigger analysis_results_trace_updated
  after update of id, request_id, user_id, fence, attempt, verdict, fake_probability, threshold, verdict_reason, coverage,
    longest_gap_seconds, detector, timeline, faces, frames, audio, media, derived, timings, notice, worker, created_at
  on public.analysis_results
  for each row when (old.* is distinct from new.*) execute function sentinel.trace('id', 'request_id');
create trigger analysis_results_trace_deleted after delete on public.analysis_results
  for each row when (
    pg_catalog.pg_trigger_depth() = 0
    and pg_catalog.current_setting('sentinel.moving', true) is distinct from 'on')
  execute function sentinel.trace('id', 'request_id');
create trigger attempts_trace_updated after update on sentinel.attempts
  for each row when (old.* is distinct from new.*) execute function sentinel.trace('fence', 'request_id');
create trigger attempts_trace_deleted after delete on sentinel.attempts
  for each row when (
    pg_catalog.pg_trigger_depth() = 0
    and pg_catalog.current_setting('sentinel.moving', true) is distinct from 'on')
  execute function sentinel.trace('fence', 'request_id');
create trigger analysis_results_trace_truncated after truncate on public.analysis_results
  for each statement execute function sentinel.trace();
create trigger attempts_trace_truncated after truncate on sentinel.attempts
  for each statement execute function sentinel.trace();
create trigger audit_keep before update or delete or truncate on sentinel.audit
  for each statement execute function sentinel.keep_audit();

revoke all on sentinel.audit from public, anon, authenticated, service_role;
