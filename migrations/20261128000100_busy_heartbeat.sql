-- A heartbeat says when it extended nothing: `busy` for a lease that somebody else has locked just now. It was `ok`, and
-- the worker believed in a lease that ran out. `cancel` waits behind `busy`, so that it means an extended lease, too.
--
-- A worker of the last release takes `busy` for `ok`, as it was answered before; a new one takes what an old database
-- answers, as before.

create or replace function public.sentinel_heartbeat(args jsonb) returns table (id uuid, answer text)
language plpgsql volatile security definer
set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
  v_worker uuid := sentinel.worker_of(args);
  v_seconds double precision := coalesce(sentinel.to_number(args -> 'lease_seconds', 1, 3600), 60);
begin
  return query
  with entry as materialized (
    select sentinel.to_uuid(e -> 'id') as id, sentinel.to_uuid(e -> 'fence') as fence
      from sentinel.elements(args, 'leases') e),
  mine as materialized (
    select l.request_id from sentinel.leases l join entry i on l.request_id = i.id and l.fence = i.fence
     where l.worker = v_worker for update of l skip locked),
  extended as (
    update sentinel.leases l set lease_until = clock_timestamp() + make_interval(secs => v_seconds)
      from mine where l.request_id = mine.request_id returning l.request_id)
  -- What whoever holds the lock makes of the lease, the next heartbeat tells.
  select i.id, case when l.request_id is null then 'lost'
                    when not exists (select from extended x where x.request_id = l.request_id) then 'busy'
                    when r.cancel_requested then 'cancel' else 'ok' end
    from entry i
    left join sentinel.leases l on l.request_id = i.id and l.fence = i.fence and l.worker = v_worker
    left join public.analysis_requests r on r.id = i.id;
end $$;
comment on function public.sentinel_heartbeat is
  'args {worker, lease_seconds, leases: [{id, fence}]}: extend leases; answers ok, cancel, busy or lost.';
