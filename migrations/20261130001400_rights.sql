-- Rights of each role (docs/rights.md). Functions that an API calls are granted where they are created. Only our own
-- objects are named, because the project has others in `public`.

-- The schema is closed to everyone, and so is each function in it, in case the schema is ever opened.
do $$
declare
  f regprocedure;
begin
  for f in select p.oid from pg_catalog.pg_proc p where p.pronamespace = 'sentinel'::regnamespace loop
    execute format('revoke all on function %s from public, anon, authenticated, service_role', f);
  end loop;
end $$;
-- Policies of storage.objects call these functions as the role that reads or writes there.
grant execute on function sentinel.may_store() to authenticated;
grant execute on function sentinel.may_remove(text, text, text) to sentinel_worker;

-- The rights that a worker's role lacks, each with a sentence for people and the statement that grants it. The function
-- runs as the caller and reads only catalogs, so it reveals nothing that the caller may not see anyway.
create function public.sentinel_rights(args jsonb default '{}')
  returns table (name text, needed boolean, sentence text, remedy text)
language sql stable security invoker set search_path = '' set jit = off as $$
  with me as (
    select r.rolname::text as role, r.rolbypassrls as sees_all from pg_catalog.pg_roles r where r.rolname = current_user
  ),
  relations (relation, namespace, oid, schema_oid) as (
    select c.relname::text, n.nspname::text, c.oid, n.oid
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where (n.nspname, c.relname) in
       (('public', 'analysis_requests'), ('storage', 'objects'), ('realtime', 'messages'))
  ),
  functions as (
    select 'execute ' || w.name, w.needed,
           format('The role %s may not call %s', me.role, w.name),
           format('grant execute on function public.%I(jsonb) to %I', w.name, me.role)
      from me
     cross join (values
       ('sentinel_claim', true), ('sentinel_heartbeat', true), ('sentinel_finish', true), ('sentinel_maintain', true),
       ('sentinel_progress', false), ('sentinel_deletions', false)) w (name, needed)
      join pg_catalog.pg_proc p on p.proname = w.name and p.pronamespace = 'public'::regnamespace
     where not has_function_privilege(me.role, p.oid, 'execute')
  ),
  grants as (
    select w.privilege || ' ' || t.namespace || '.' || t.relation, w.needed,
           format('The role %s may not %s %s.%s, so it %s', me.role, w.privilege, t.namespace, t.relation, w.loss),
           case when t.namespace = 'public'
                then format('grant %s on %I.%I to %I', w.privilege, t.namespace, t.relation, me.role)
                -- Hosted projects do not allow grants on these tables; a member of anon inherits its rights.
                else format('grant anon to %I', me.role) end
      from me
     cross join (values
       ('storage', 'select', true,  'cannot fetch media'),
       ('storage', 'insert', true,  'cannot store pictures'),
       ('storage', 'update', true,  'cannot store pictures'),
       ('storage', 'delete', false, 'cannot remove the files of deleted requests'),
       ('realtime', 'select', false, 'receives no broadcast wake-ups'),
       ('public', 'select', false, 'receives no row changes')) w (namespace, privilege, needed, loss)
      join relations t on t.namespace = w.namespace
     where not (has_schema_privilege(me.role, t.schema_oid, 'usage') and has_table_privilege(me.role, t.oid, w.privilege))
  ),
  policies as (
    select 'policy ' || w.name, w.needed,
           format('The policy "%s" on %s.%s is missing, so the role %s %s',
                  w.name, t.namespace, t.relation, me.role, w.loss),
           format('create policy "%s" on %I.%I %s', w.name, t.namespace, t.relation, w.definition)
      from me
     cross join (values
       ('storage', 'sentinel: worker reads', true, 'cannot fetch media',
        $p$for select to sentinel_worker using (bucket_id in ('media', 'derived'))$p$),
       ('storage', 'sentinel: worker adds derived', true, 'cannot store pictures',
        $p$for insert to sentinel_worker with check (bucket_id = 'derived')$p$),
       ('storage', 'sentinel: worker replaces derived', true, 'cannot store pictures',
        $p$for update to sentinel_worker using (bucket_id = 'derived') with check (bucket_id = 'derived')$p$),
       ('storage', 'sentinel: worker removes what was deleted', false, 'cannot remove the files of deleted requests',
        $p$for delete to sentinel_worker using (bucket_id in ('media', 'derived') $p$
          || $p$and sentinel.may_remove(bucket_id, name, version))$p$),
       ('realtime', 'sentinel: worker hears wake-ups', false, 'receives no broadcast wake-ups',
        $p$for select to sentinel_worker using (realtime.topic() = 'sentinel:wake' and extension = 'broadcast')$p$),
       ('public', 'worker: read', false, 'receives no row changes',
        $p$for select to sentinel_worker using (true)$p$)) w (namespace, name, needed, loss, definition)
      join relations t on t.namespace = w.namespace
     where not me.sees_all and not exists (
       select from pg_catalog.pg_policy p where p.polrelid = t.oid and p.polname = w.name)
  ),
  absent as (
    select 'table realtime.messages', false,
           format('Realtime has never run, so the table realtime.messages does not exist and the role %s receives no '
                  'broadcast wake-ups. To fix this once Realtime has started', me.role),
           'sentinel-worker migrate'
      from me
     where not me.sees_all and not exists (select from relations t where t.namespace = 'realtime')
  ),
  memberships as (
    select 'member sentinel_worker', false,
           'Realtime may not become sentinel_worker, which ends the row changes of every client of the project',
           'grant sentinel_worker to service_role'
      from me
     where me.role = 'sentinel_worker' and exists (
       select from pg_catalog.pg_roles r
        where r.rolname = 'service_role' and not pg_has_role(r.oid, 'sentinel_worker', 'member'))
  ),
  missing (name, needed, sentence, remedy) as (
    table functions union all table grants union all table policies union all table absent
    union all table memberships
  )
  select m.name, m.needed, m.sentence || ': run ' || m.remedy, m.remedy from missing m order by not m.needed, m.name
$$;

revoke all on function public.sentinel_rights(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.sentinel_rights(jsonb) to service_role, sentinel_worker;

-- Column-level SELECT would break `select *`.
grant select on public.analysis_requests, public.analysis_results to authenticated;
-- These rights only lead a user to a sentence (20261130001350_sentences.sql): the triggers below refuse all columns but
-- the inputs, and every change. The policies refuse them, too, in case a trigger is missing.
grant insert (
  id, user_id, media_kind, storage_path, source_url, detector, options, run_at, dedupe_key, batch_id,
  answer_by, original_name, priority, status, attempt, max_attempts, crashes, stage, progress, verdict, fake_probability,
  coverage, longest_gap_seconds, error_code, error_message, error_params, cancel_requested, created_at, started_at, finished_at)
  on public.analysis_requests to authenticated;
grant update, delete on public.analysis_requests to authenticated;
grant insert, update, delete on public.analysis_results to authenticated;
-- The conditions are evaluated as the role that writes. The first trigger's name makes it see the row as it was sent.
--
-- True for users, that is roles with the rights of `authenticated` that row security binds. It does not ask whether row
-- security is on: if somebody switches it off, users must not gain the right to write what others own.
create function sentinel.is_user() returns boolean
language sql stable security invoker set search_path = '' as $$
  select pg_catalog.pg_has_role(current_user, 'authenticated', 'usage')
     and not exists (select from pg_catalog.pg_roles r
                      where r.rolname = current_user and (r.rolsuper or r.rolbypassrls))
$$;
grant execute on function sentinel.is_user() to public;
create trigger analysis_requests_accept before insert on public.analysis_requests
  for each row when (
    (new.user_id is distinct from auth.uid()
         or (new.priority, new.status, new.attempt, new.max_attempts, new.crashes, new.cancel_requested, new.created_at)
           is distinct from (0::smallint, 'queued', 0::smallint, 5::smallint, 0::smallint, false, pg_catalog.now())
         or pg_catalog.num_nonnulls(
           new.stage, new.progress, new.verdict, new.fake_probability, new.coverage, new.longest_gap_seconds,
           new.error_code, new.error_message, new.error_params, new.started_at, new.finished_at) > 0)
    and sentinel.is_user())  -- last, because it costs most
  execute function sentinel.refuse_columns(
    'id', 'user_id', 'media_kind', 'storage_path', 'source_url', 'detector', 'options', 'run_at', 'dedupe_key',
    'batch_id', 'answer_by', 'original_name');
create trigger analysis_requests_refuse before update or delete on public.analysis_requests
  for each statement when (sentinel.is_user()) execute function sentinel.refuse_change();
create trigger analysis_results_refuse before insert or update or delete on public.analysis_results
  for each statement when (sentinel.is_user()) execute function sentinel.refuse_change();
grant select, insert, update, delete on public.analysis_requests to service_role;
grant select on public.analysis_results to service_role;
-- Realtime sends a role only the changes that it may select.
grant select on public.analysis_requests to sentinel_worker;

create policy "own requests: read" on public.analysis_requests
  for select to authenticated using (user_id = (select auth.uid()));
create policy "own requests: insert" on public.analysis_requests
  for insert to authenticated with check (
    user_id = (select auth.uid())
    and (priority, max_attempts, attempt, crashes, created_at) = (0, 5, 0, 0, now()) and status in ('queued', 'scheduled')
    and num_nonnulls(stage, progress, verdict, fake_probability, coverage, longest_gap_seconds, error_code,
                     error_message, error_params, started_at, finished_at) = 0);
create policy "worker: read" on public.analysis_requests
  for select to sentinel_worker using (true);
create policy "own results: read" on public.analysis_results
  for select to authenticated using (user_id = (select auth.uid()));
