-- What users write into `options` ends no worker: no worker reads it, and it holds nothing that a client cannot read.
--
-- A whole number of more than 4,300 digits, or some 950 arrays inside each other, fit into 8 KiB, are JSON to PostgreSQL,
-- and no JSON to Python. A claim whose answer held them was taken and never begun, time after time. The column stays in
-- the answer, empty, for workers of the last release.
create or replace function public.sentinel_claim(args jsonb)
returns table (
  id uuid, fence uuid, user_id uuid, media_kind text, storage_path text, source_url text, detector text,
  options jsonb, priority smallint, attempt smallint, max_attempts smallint, crashes smallint,
  cancel_requested boolean, created_at timestamptz, lease_until timestamptz, lease_seconds double precision,
  queued_seconds double precision, reoffered boolean)
language plpgsql volatile security definer
set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off
-- Planned once a session, by index: planning what a call runs costs more than running it.
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
         extract(epoch from clock_timestamp() - r.run_at)::double precision, r.id = any (v_again)
    from public.analysis_requests r where r.id = any (v_ids) order by array_position(v_ids, r.id);
end $$;

-- What a row holds comes to clients, and to workers' listeners, with each change that they hear of: it has to be JSON to
-- all of them. Ordinary readers nest a few hundred deep, and JavaScript's largest number is the one below.
--
-- A trigger and no CHECK: PostgreSQL asks a CHECK at every UPDATE of a row, so a row of before would make the queue's own
-- functions fail, and to mend those rows would rewrite what users wrote and read the whole table under its strongest
-- lock. This one is asked when somebody writes the column, and costs a row without options one comparison.
create function sentinel.bound_options() returns trigger
language plpgsql set search_path = '' as $$
begin
  -- What is too large altogether is refused by its CHECK, which comes after this; it needs no closer look.
  if octet_length(new.options::text) > 8192 then
    return new;
  end if;
  if jsonb_path_exists(new.options, 'strict $.**{32} ? (@.type() == "object" || @.type() == "array")') then
    raise exception 'options_are_readable: options are nested more than 32 levels deep'
      using errcode = 'check_violation', schema = 'public', table = 'analysis_requests',
            constraint = 'options_are_readable';
  end if;
  if jsonb_path_exists(
    new.options, 'strict $.** ? (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308)') then
    raise exception 'options_are_readable: options hold a number beyond 1.7976931348623157e308'
      using errcode = 'check_violation', schema = 'public', table = 'analysis_requests',
            constraint = 'options_are_readable';
  end if;
  return new;
end $$;

-- Its name puts it behind analysis_requests_admit, which makes null an empty object.
create trigger analysis_requests_options before insert or update of options on public.analysis_requests
  for each row when (new.options is distinct from '{}'::jsonb) execute function sentinel.bound_options();

revoke all on function sentinel.bound_options() from public, anon, authenticated, service_role;
