-- What a worker calls while it works: claim, heartbeat, progress. None of them ever waits for a lock.
--
-- Every function takes one jsonb argument, so that worker and database may differ in version during an upgrade.
-- enable_seqscan is off because a plan that was cached while the table was empty is kept when it is not.

-- Reading arguments without ever raising: an element of a batch that is odd must not end the batch.
create function sentinel.elements(args jsonb, name text) returns setof jsonb
language sql immutable set search_path = '' as $$
  select e from jsonb_array_elements(
    case jsonb_typeof(args -> name) when 'array' then args -> name else '[]'::jsonb end) as e
$$;

create function sentinel.to_uuid(value jsonb) returns uuid
language sql immutable set search_path = '' as $$
  select case when jsonb_typeof(value) = 'string'
               and value #>> '{}' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
              then (value #>> '{}')::uuid end
$$;

-- A number within bounds, or null for anything else.
create function sentinel.to_number(value jsonb, low double precision, high double precision)
returns double precision language sql immutable set search_path = '' as $$
  select case when jsonb_typeof(value) = 'number'
              then greatest(low::numeric, least(high::numeric, (value #>> '{}')::numeric))::double precision end
$$;

-- A string cut to a length, or null for anything else.
create function sentinel.to_text(value jsonb, length integer) returns text
language sql immutable set search_path = '' as $$
  select case when jsonb_typeof(value) = 'string' then left(value #>> '{}', length) end
$$;

create function sentinel.setting(name text, fallback double precision) returns double precision
language sql stable set search_path = '' as $$
  select coalesce(
    (select sentinel.to_number(s.value, 0, 1e9) from sentinel.settings s where s.name = setting.name), fallback)
$$;

-- The caller's identity, which is the one argument that no call can do without.
create function sentinel.worker_of(args jsonb) returns uuid
language plpgsql immutable set search_path = '' as $$
begin
  if sentinel.to_uuid(args -> 'worker') is null then
    raise exception 'args.worker must be the uuid of the calling worker' using errcode = 'invalid_parameter_value';
  end if;
  return sentinel.to_uuid(args -> 'worker');
end $$;

create type sentinel.claimed as (
  id uuid, fence uuid, user_id uuid, media_kind text, storage_path text, source_url text, detector text,
  options jsonb, priority smallint, attempt smallint, max_attempts smallint, crashes smallint,
  cancel_requested boolean, created_at timestamptz, lease_until timestamptz, lease_seconds double precision,
  queued_seconds double precision, reoffered boolean);

create function sentinel.claimed_row(
  r public.analysis_requests, lease_until timestamptz, reoffered boolean) returns sentinel.claimed
language sql volatile set search_path = '' as $$
  select r.id, r.fence, r.user_id, r.media_kind, r.storage_path, r.source_url, r.detector, r.options, r.priority,
         r.attempt, r.max_attempts, r.crashes, r.cancel_requested, r.created_at, lease_until,
         extract(epoch from lease_until - clock_timestamp())::double precision,
         extract(epoch from clock_timestamp() - r.run_at)::double precision, reoffered
$$;

-- Leases of this worker that it does not list: the answer that carried them was lost.
create function sentinel.reoffer(p_worker uuid, p_held uuid[], p_limit integer, p_until timestamptz)
returns setof sentinel.claimed
language sql volatile set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
  with mine as materialized (
    select l.request_id from sentinel.leases l
     where l.worker = p_worker and l.request_id <> all (p_held)
     order by l.claimed_at limit p_limit for update skip locked),
  extended as (
    update sentinel.leases l set lease_until = p_until from mine
     where l.request_id = mine.request_id returning l.request_id, l.fence)
  select c.*
    from extended e
    join public.analysis_requests r on r.id = e.request_id and r.fence = e.fence and r.status = 'running'
   cross join lateral sentinel.claimed_row(r, p_until, true) c
$$;

-- Queued requests of these lanes, best first, taken by this worker.
create function sentinel.take(p_worker uuid, p_lanes text[], p_limit integer, p_until timestamptz)
returns setof sentinel.claimed
language sql volatile set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
  with best as materialized (
    select c.id from unnest(p_lanes) as k (lane)
     cross join lateral (
       select r.id, r.priority, r.run_at from public.analysis_requests r
        where r.status = 'queued' and r.lane = k.lane
        order by r.priority desc, r.run_at, r.id limit p_limit for no key update skip locked) c
     order by c.priority desc, c.run_at, c.id limit p_limit),
  taken as (
    update public.analysis_requests r
       set status = 'running', fence = gen_random_uuid(), attempt = r.attempt + 1, stage = null, progress = 0,
           started_at = clock_timestamp()
      from best where r.id = best.id returning r as request),
  leased as (
    insert into sentinel.leases as l (request_id, fence, worker, attempt, lease_until)
    select (t.request).id, (t.request).fence, p_worker, (t.request).attempt, p_until from taken t
    -- A lease that outlived its request's claim would otherwise stop every worker's claims.
    on conflict (request_id) do update
       set fence = excluded.fence, worker = excluded.worker, attempt = excluded.attempt,
           claimed_at = excluded.claimed_at, lease_until = excluded.lease_until)
  select c.* from taken t cross join lateral sentinel.claimed_row(t.request, p_until, false) c
$$;

create function public.sentinel_claim(args jsonb)
returns table (
  id uuid, fence uuid, user_id uuid, media_kind text, storage_path text, source_url text, detector text,
  options jsonb, priority smallint, attempt smallint, max_attempts smallint, crashes smallint,
  cancel_requested boolean, created_at timestamptz, lease_until timestamptz, lease_seconds double precision,
  queued_seconds double precision, reoffered boolean)
language plpgsql volatile security definer
set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_worker uuid := sentinel.worker_of(args);
  v_lanes text[] := array(select distinct e #>> '{}' from sentinel.elements(args, 'lanes') e);
  v_held uuid[] := array(select sentinel.to_uuid(e) from sentinel.elements(args, 'held') e
                          where sentinel.to_uuid(e) is not null);
  v_limit integer := coalesce(sentinel.to_number(args -> 'limit', 0, 100), 1);
  v_until timestamptz := clock_timestamp()
    + make_interval(secs => coalesce(sentinel.to_number(args -> 'lease_seconds', 1, 3600), 60));
  v_got integer := 0;
  v_more integer;
begin
  perform set_config('sentinel.moving', 'on', true);
  return query select * from sentinel.reoffer(v_worker, v_held, v_limit, v_until);
  get diagnostics v_got = row_count;
  return query select * from sentinel.take(v_worker, v_lanes, v_limit - v_got, v_until);
  get diagnostics v_more = row_count;
  if v_limit > 0 and v_got + v_more = 0 then
    perform sentinel.sweep();
    return query select * from sentinel.take(v_worker, v_lanes, v_limit, v_until);
  end if;
  perform set_config('sentinel.moving', '', true);
end $$;
comment on function public.sentinel_claim is
  'args {worker, lanes, limit, lease_seconds, held}: take queued requests; see docs/database.md.';

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
      from mine where l.request_id = mine.request_id)
  -- A lease that somebody else has locked just now keeps its time; the next heartbeat tells what became of it.
  select i.id, case when l.request_id is null then 'lost' when r.cancel_requested then 'cancel' else 'ok' end
    from entry i
    left join sentinel.leases l on l.request_id = i.id and l.fence = i.fence and l.worker = v_worker
    left join public.analysis_requests r on r.id = i.id;
end $$;
comment on function public.sentinel_heartbeat is
  'args {worker, lease_seconds, leases: [{id, fence}]}: extend leases; answers ok, cancel or lost.';

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
comment on function public.sentinel_progress is
  'args {worker, progress: [{id, fence, stage, progress}]}: show stage and percentage; answers ok, busy or lost.';
