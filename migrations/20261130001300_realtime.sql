-- Notifications of changes: the publication for frontends, and a wake-up for workers.

do $$
declare
  v_all boolean;
  v_table text;
begin
  select p.puballtables into v_all from pg_catalog.pg_publication p where p.pubname = 'supabase_realtime';
  if not found then
    create publication supabase_realtime;
  end if;
  foreach v_table in array array['analysis_requests', 'analysis_results'] loop
    if not coalesce(v_all, false) and not exists (
      select from pg_catalog.pg_publication_tables t
       where t.pubname = 'supabase_realtime' and t.schemaname = 'public' and t.tablename = v_table)
    then
      execute format('alter publication supabase_realtime add table public.%I', v_table);
    end if;
  end loop;
end $$;

-- Send a hint without data, once per transaction. It must never fail or delay the statement that caused it: if the
-- schema or a partition is missing, or the lock is not available within 100 ms, no hint is sent, and a sweep finds the
-- request.
create function sentinel.wake() returns trigger
language plpgsql security definer set search_path = '' set lock_timeout = '100ms' as $$
declare
  v_transaction text := pg_current_xact_id()::text;
begin
  if current_setting('sentinel.woken', true) is not distinct from v_transaction then
    return null;
  end if;
  perform set_config('sentinel.woken', v_transaction, true);
  if to_regprocedure('realtime.send(jsonb,text,text,boolean)') is not null then
    perform realtime.send('{}'::jsonb, 'wake', 'sentinel:wake', true);
  end if;
  return null;
exception when others then
  raise log 'sentinel: no wake-up was sent: % %', sqlstate, sqlerrm;
  return null;
end $$;

create trigger analysis_requests_wake_inserted after insert on public.analysis_requests
  for each statement execute function sentinel.wake();
create trigger analysis_requests_wake_queued after update on public.analysis_requests
  for each row when (new.status = 'queued' and old.status <> 'queued') execute function sentinel.wake();

-- The end of a pause, and a drain, are found at once, too.
create trigger paused_wake after update or delete on sentinel.paused
  for each statement execute function sentinel.wake();
create trigger workers_wake after update of draining on sentinel.workers
  for each row when (new.draining and not old.draining) execute function sentinel.wake();

-- Last, because it locks the platform's table.
do $$ begin
  if to_regclass('realtime.messages') is not null then
    create policy "sentinel: worker hears wake-ups" on realtime.messages for select to sentinel_worker
      using (realtime.topic() = 'sentinel:wake' and extension = 'broadcast');
  end if;
exception when insufficient_privilege then
  raise notice 'no policy on realtime.messages for sentinel_worker: broadcast wake-ups need a service key';
end $$;
