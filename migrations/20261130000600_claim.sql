-- Functions that a worker calls before and during work: claim, heartbeat, progress. None of them ever waits for a lock.
--
-- They run with their owner's rights, so row security does not apply to them, and only the roles named in a grant may
-- call them.

-- This worker's leases that it does not list as held, because the response with them was lost.
create function sentinel.offer_again(p_worker uuid, p_held uuid[], p_limit integer, p_until timestamptz) returns uuid[]
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_ids uuid[];
begin
  if not exists (select from sentinel.leases l where l.worker = p_worker and l.request_id <> all (p_held)) then
    return '{}';
  end if;
  v_ids := array(
    select l.request_id from sentinel.leases l
     where l.worker = p_worker and l.request_id <> all (p_held)
     order by l.claimed_at limit p_limit for update skip locked);
  update sentinel.leases l set lease_until = p_until where l.request_id = any (v_ids);
  return array(
    select r.id from public.analysis_requests r join sentinel.leases l on l.request_id = r.id and l.fence = r.fence
     where r.id = any (v_ids) and r.status = 'running' order by l.claimed_at);
end $$;

-- Claim queued requests of these lanes, chosen by turns, for this worker.
create function sentinel.take_turns(p_worker uuid, p_lanes text[], p_limit integer, p_until timestamptz) returns uuid[]
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_ids uuid[] := sentinel.choose(p_worker, p_lanes, p_limit);
begin
  if cardinality(v_ids) > 0 then
    with taken as (
      update public.analysis_requests r
         set status = 'running', fence = gen_random_uuid(), attempt = r.attempt + 1, stage = null, progress = 0,
             started_at = clock_timestamp()
       where r.id = any (v_ids) returning r.id, r.fence, r.attempt)
    insert into sentinel.leases as l (request_id, fence, worker, attempt, lease_until)
    select t.id, t.fence, p_worker, t.attempt, p_until from taken t
    -- Without this, a lease that outlived its request's claim would make every worker's claims fail.
    on conflict (request_id) do update
       set fence = excluded.fence, worker = excluded.worker, attempt = excluded.attempt,
           claimed_at = excluded.claimed_at, lease_until = excluded.lease_until;
  end if;
  return v_ids;
end $$;

-- `options` is empty in the answer: 8 KiB can hold an integer of more than 4,300 digits, or about 950 nested arrays,
-- valid JSON to PostgreSQL, but Python refuses to parse it. What a worker reads of it is a column, such as `preview`.
create function public.sentinel_claim(args jsonb)
returns table (
  id uuid, fence uuid, user_id uuid, media_kind text, storage_path text, source_url text, detector text,
  options jsonb, priority smallint, attempt smallint, max_attempts smallint, crashes smallint,
  cancel_requested boolean, created_at timestamptz, lease_until timestamptz, lease_seconds double precision,
  queued_seconds double precision, reoffered boolean, preview boolean)
language plpgsql volatile security definer
set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off
-- Plan once per session, with indexes: planning these statements costs more than running them.
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_worker uuid := sentinel.worker_of(args);
  v_lanes text[] := array(select distinct e #>> '{}' from sentinel.elements(args, 'lanes') e);
  v_held uuid[] := array(select sentinel.to_uuid(e) from sentinel.elements(args, 'held') e
                          where sentinel.to_uuid(e) is not null);
  v_limit integer := coalesce(sentinel.to_number(args -> 'limit', 0, 100), 1);
  v_until timestamptz := clock_timestamp()
    + make_interval(secs => coalesce(sentinel.to_number(args -> 'lease_seconds', 1, 3600), 60));
  v_again uuid[];
  v_ids uuid[];
begin
  perform set_config('sentinel.moving', 'on', true);
  v_again := sentinel.offer_again(v_worker, v_held, v_limit, v_until);
  v_ids := v_again || sentinel.take_turns(v_worker, v_lanes, v_limit - cardinality(v_again), v_until);
  if v_limit > 0 and cardinality(v_ids) = 0 then
    perform sentinel.sweep();
    v_ids := sentinel.take_turns(v_worker, v_lanes, v_limit, v_until);
  end if;
  perform set_config('sentinel.moving', '', true);
  return query
  select r.id, r.fence, r.user_id, r.media_kind, r.storage_path, r.source_url, r.detector, '{}'::jsonb, r.priority,
         r.attempt, r.max_attempts, r.crashes, r.cancel_requested, r.created_at, v_until,
         extract(epoch from v_until - clock_timestamp())::double precision,
         extract(epoch from clock_timestamp() - r.run_at)::double precision, r.id = any (v_again),
         coalesce(r.options -> 'preview' = 'true', false)
    from public.analysis_requests r where r.id = any (v_ids) order by array_position(v_ids, r.id);
end $$;

-- Extend leases. `busy` means that the lease is locked by another session and was not extended. `cancel` is checked
-- after `busy`, so it also means an extended lease.
create function public.sentinel_heartbeat(args jsonb) returns table (id uuid, answer text)
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
  -- If another session is changing the lease, the next heartbeat reports the result.
  select i.id, case when l.request_id is null then 'lost'
                    when not exists (select from extended x where x.request_id = l.request_id) then 'busy'
                    when r.cancel_requested then 'cancel' else 'ok' end
    from entry i
    left join sentinel.leases l on l.request_id = i.id and l.fence = i.fence and l.worker = v_worker
    left join public.analysis_requests r on r.id = i.id;
end $$;

create function public.sentinel_progress(args jsonb) returns table (id uuid, answer text)
language plpgsql volatile security definer
set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
  v_worker uuid := sentinel.worker_of(args);
begin
  return query
  with entry as materialized (
    select distinct on (1) sentinel.to_uuid(e -> 'id') as id, sentinel.to_uuid(e -> 'fence') as fence,
           sentinel.to_text(e -> 'stage', 64) as stage, sentinel.to_number(e -> 'progress', 0, 100) as progress
      from sentinel.elements(args, 'progress') e order by 1),
  current as materialized (
    select i.* from entry i
      join sentinel.leases l on l.request_id = i.id and l.fence = i.fence and l.worker = v_worker),
  mine as materialized (
    select r.id, i.stage, i.progress from public.analysis_requests r join current i on r.id = i.id and r.fence = i.fence
     where r.status = 'running' for no key update of r skip locked),
  shown as (
    update public.analysis_requests r
       set stage = coalesce(m.stage, r.stage), progress = greatest(r.progress, m.progress::smallint)
      from mine m where r.id = m.id)
  select i.id, case when m.id is not null then 'ok' when c.id is not null then 'busy' else 'lost' end
    from entry i left join current c on c.id = i.id left join mine m on m.id = i.id;
end $$;

revoke all on function
  public.sentinel_claim(jsonb), public.sentinel_heartbeat(jsonb), public.sentinel_progress(jsonb)
  from public, anon, authenticated, service_role;
grant execute on function
  public.sentinel_claim(jsonb), public.sentinel_heartbeat(jsonb), public.sentinel_progress(jsonb)
  to service_role, sentinel_worker;
