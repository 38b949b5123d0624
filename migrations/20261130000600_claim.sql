-- Functions that a worker calls before and during work: claim, heartbeat, progress. None of them ever waits for a lock.
--
-- They run with their owner's rights, so row security does not apply to them, and only the roles named in a grant may
-- call them.

-- This worker's leases that it does not list as held, because the response with them was lost.
create function sentinel.offer_again(p_worker uuid, p_held uuid[], p_limit integer, p_until timestamptz) returns uuid[]
language plpgsql set search_path = '' as $$
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

-- How many requests of each user a worker runs: what it lists, and those that are offered to it again. Values that are
-- not numbers are left out.
create function sentinel.held(args jsonb, p_again uuid[]) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_object_agg(h.user_id, h.n), '{}') from (
    select a.user_id, least(sum(a.n), 100000)::integer as n from (
      select e.key as user_id, greatest(0, least(100000, (e.value #>> '{}')::numeric)) as n
        from jsonb_each(case jsonb_typeof(args -> 'holding') when 'object' then args -> 'holding' else '{}' end) e
       where jsonb_typeof(e.value) = 'number'
      union all
      select r.user_id::text, 1 from public.analysis_requests r where r.id = any (p_again)) a
     group by 1) h
$$;

-- `options` is empty in the answer: 8 KiB can hold an integer of more than 4,300 digits, or about 950 nested arrays,
-- valid JSON to PostgreSQL, but Python refuses to parse it. What a worker reads of it is a column, such as `preview`.
create function public.sentinel_claim(args jsonb)
returns table (
  id uuid, fence uuid, user_id uuid, media_kind text, storage_path text, source_url text, detector text,
  options jsonb, priority smallint, attempt smallint, max_attempts smallint, crashes smallint,
  cancel_requested boolean, created_at timestamptz, lease_until timestamptz, lease_seconds double precision,
  queued_seconds double precision, reoffered boolean, answer_seconds double precision, preview boolean)
language plpgsql volatile security definer
set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off
-- Plan once per session, with indexes: planning these statements costs more than running them.
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_worker uuid := sentinel.worker_of(args);
  v_lanes text[] := array(
    select distinct e #>> '{}' from sentinel.elements(args, 'lanes') e
     where not exists (select from sentinel.paused p where p.user_id is null and coalesce(p.lane, e #>> '{}') = e #>> '{}')
       and not exists (select from sentinel.workers w where w.id = v_worker and w.draining));
  v_held uuid[] := array(
    select (e #>> '{}')::uuid from sentinel.elements(args, 'held') e
     where e #>> '{}' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$');
  v_limit integer := coalesce(case when jsonb_typeof(args -> 'limit') = 'number'
    then greatest(0, least(100, (args ->> 'limit')::numeric)) end, 1);
  v_slots integer := case when jsonb_typeof(args -> 'slots') = 'number'
    then greatest(1, least(100000, (args ->> 'slots')::numeric)) end;
  v_until timestamptz := clock_timestamp() + make_interval(secs => coalesce(
    case when jsonb_typeof(args -> 'lease_seconds') = 'number'
         then greatest(1, least(3600, (args ->> 'lease_seconds')::numeric)) end, 60));
  v_again uuid[];
  v_held_of jsonb;
  v_ids uuid[];
  v_moving text;  -- assigned, because PERFORM would run a query
begin
  v_moving := set_config('sentinel.moving', 'on', true);
  -- Nothing is late as a rule, and then this reads one empty index.
  if exists (select from public.analysis_requests r
              where r.answer_by <= clock_timestamp() and r.status in ('queued', 'scheduled')) then
    perform sentinel.end_late();
  end if;
  v_again := sentinel.offer_again(v_worker, v_held, v_limit, v_until);
  if cardinality(v_again) > 0 then
    return query
    select r.id, r.fence, r.user_id, r.media_kind, r.storage_path, r.source_url, r.detector, '{}'::jsonb, r.priority,
           r.attempt, r.max_attempts, r.crashes, r.cancel_requested, r.created_at, v_until,
           extract(epoch from v_until - clock_timestamp())::double precision,
           extract(epoch from clock_timestamp() - r.run_at)::double precision, true,
           extract(epoch from r.answer_by - clock_timestamp())::double precision,
            coalesce(r.options -> 'preview' = 'true', false)
      from public.analysis_requests r where r.id = any (v_again) order by array_position(v_again, r.id);
  end if;
  if v_slots is not null then
    v_held_of := sentinel.held(args, v_again);
  end if;
  v_ids := sentinel.choose(v_worker, v_lanes, v_limit - cardinality(v_again), v_slots, v_held_of);
  if v_limit > 0 and cardinality(v_again) + cardinality(v_ids) = 0 then
    perform sentinel.sweep();
    -- Workers that heard the same wake-up claim at the same moment. A claim takes some milliseconds, and the next sweep
    -- of a worker that went away empty would be seconds later. This waits for no lock, and 30 ms at most.
    for v_try in 1 .. 4 loop
      perform set_config('sentinel.contended', '', true);
      v_ids := sentinel.choose(v_worker, v_lanes, v_limit, v_slots, v_held_of);
      exit when cardinality(v_ids) > 0 or current_setting('sentinel.contended') = '';
      perform pg_sleep(0.01);
    end loop;
  end if;
  if cardinality(v_ids) > 0 then
    -- A lease that outlived its request's claim must not make every worker's claims fail.
    if exists (select from sentinel.leases l where l.request_id = any (v_ids)) then
      delete from sentinel.leases l where l.request_id = any (v_ids);
    end if;
    return query
    with taken as (
      update public.analysis_requests r
         set status = 'running', fence = gen_random_uuid(), attempt = least(r.attempt + 1, 100), stage = null,
             progress = 0, started_at = clock_timestamp(),
             -- A worker has come, so it does not wait for one any more. Errors of earlier attempts stay.
             error_code = nullif(r.error_code, 'no_worker'),
             error_message = case when r.error_code is distinct from 'no_worker' then r.error_message end,
             error_params = case when r.error_code is distinct from 'no_worker' then r.error_params end
       where r.id = any (v_ids)
      returning r.id, r.fence, r.user_id, r.media_kind, r.storage_path, r.source_url, r.detector, r.priority,
                r.attempt, r.max_attempts, r.crashes, r.cancel_requested, r.created_at, r.run_at, r.answer_by,
                 coalesce(r.options -> 'preview' = 'true', false) as preview),
    leased as (
      insert into sentinel.leases (request_id, fence, worker, attempt, lease_until)
      select t.id, t.fence, v_worker, t.attempt, v_until from taken t)
    select t.id, t.fence, t.user_id, t.media_kind, t.storage_path, t.source_url, t.detector, '{}'::jsonb, t.priority,
           t.attempt, t.max_attempts, t.crashes, t.cancel_requested, t.created_at, v_until,
           extract(epoch from v_until - clock_timestamp())::double precision,
           extract(epoch from clock_timestamp() - t.run_at)::double precision, false,
           extract(epoch from t.answer_by - clock_timestamp())::double precision, t.preview
      from taken t order by array_position(v_ids, t.id);
  end if;
  v_moving := set_config('sentinel.moving', '', true);
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
  perform set_config('sentinel.moving', 'on', true);
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
  perform set_config('sentinel.moving', '', true);
end $$;

create function public.sentinel_progress(args jsonb) returns table (id uuid, answer text)
language plpgsql volatile security definer
set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
  v_worker uuid := sentinel.worker_of(args);
begin
  perform set_config('sentinel.moving', 'on', true);
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
  perform set_config('sentinel.moving', '', true);
end $$;

revoke all on function
  public.sentinel_claim(jsonb), public.sentinel_heartbeat(jsonb), public.sentinel_progress(jsonb)
  from public, anon, authenticated, service_role;
grant execute on function
  public.sentinel_claim(jsonb), public.sentinel_heartbeat(jsonb), public.sentinel_progress(jsonb)
  to service_role, sentinel_worker;
