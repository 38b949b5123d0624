-- Who may read and write what. Only our own objects are named: the project has others in public, and gives new
-- tables no grants by itself.

alter table public.analysis_requests enable row level security;
alter table public.analysis_results enable row level security;

revoke all on public.analysis_requests, public.analysis_results from public, anon, authenticated, service_role;

-- Column-level SELECT would break `select *`; INSERT names the inputs, so that nothing else can be forged.
grant select on public.analysis_requests, public.analysis_results to authenticated;
grant insert (id, media_kind, storage_path, source_url, detector, options, run_at, dedupe_key, batch_id)
  on public.analysis_requests to authenticated;
grant select, insert, update, delete on public.analysis_requests to service_role;
grant select on public.analysis_results to service_role;
-- Realtime sends a role the changes that it may select.
grant select on public.analysis_requests to sentinel_worker;

create policy "own requests: read" on public.analysis_requests
  for select to authenticated using (user_id = (select auth.uid()));
create policy "own requests: insert" on public.analysis_requests
  for insert to authenticated with check (user_id = (select auth.uid()));
create policy "worker: read" on public.analysis_requests
  for select to sentinel_worker using (true);
create policy "own results: read" on public.analysis_results
  for select to authenticated using (user_id = (select auth.uid()));

revoke all on function
  public.sentinel_claim(jsonb), public.sentinel_heartbeat(jsonb), public.sentinel_progress(jsonb),
  public.sentinel_finish(jsonb), public.sentinel_maintain(jsonb), public.cancel_analysis(uuid),
  public.retry_analysis(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.sentinel_claim(jsonb), public.sentinel_heartbeat(jsonb), public.sentinel_progress(jsonb),
  public.sentinel_finish(jsonb), public.sentinel_maintain(jsonb)
  to service_role, sentinel_worker;
grant execute on function public.cancel_analysis(uuid), public.retry_analysis(uuid) to authenticated;

-- The schema is closed to everyone, and so is each function in it should the schema be opened one day.
do $$
declare
  f regprocedure;
begin
  for f in select p.oid from pg_catalog.pg_proc p where p.pronamespace = 'sentinel'::regnamespace loop
    execute format('revoke all on function %s from public, anon, authenticated, service_role', f);
  end loop;
end $$;
