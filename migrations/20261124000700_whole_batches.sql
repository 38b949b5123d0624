-- A claim and a finish work on their whole batch: one statement where there was one for each row (docs/adr/0019).
--
-- What they called before stays for calls that are under way while this is applied: by_turns, by_priority, serve and
-- room with fewer arguments, lock_best, next_user, take, reoffer, claimed_row, conclude, finish_one, store_result. The
-- next release drops them.

-- Who is next: up to p_count users behind p_after (null: from the first) with something queued, up to p_upto.
create function sentinel.next_users(p_lanes text[], p_after uuid, p_upto uuid, p_count integer) returns uuid[]
language plpgsql stable set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
begin
  return array(
    with recursive turn (user_id, n) as (
      select (
        select h.user_id
          from unnest(p_lanes) as k (lane)
         cross join lateral (
           (select r.lane, r.user_id from public.analysis_requests r
             where r.status = 'queued' and p_after is null and r.lane >= k.lane order by r.lane, r.user_id limit 1)
           union all
           (select r.lane, r.user_id from public.analysis_requests r
             where r.status = 'queued' and (r.lane, r.user_id) > (k.lane, p_after)
             order by r.lane, r.user_id limit 1)) h
         where h.lane = k.lane order by h.user_id limit 1), 1
      union all
      select (
        select h.user_id
          from unnest(p_lanes) as k (lane)
         cross join lateral (
           select r.lane, r.user_id from public.analysis_requests r
            where r.status = 'queued' and (r.lane, r.user_id) > (k.lane, t.user_id)
            order by r.lane, r.user_id limit 1) h
         where h.lane = k.lane order by h.user_id limit 1), t.n + 1
        from turn t where t.user_id is not null and t.n < p_count)
    select t.user_id from turn t where t.user_id <= coalesce(p_upto, t.user_id) order by t.n);
end $$;

-- How many more of a user's requests may run. Another claim that is deciding the same just now leaves none to this one.
-- Bounds and an order, so that the index of all that a user has open, which holds everything that waits, will not do.
create function sentinel.room(p_user uuid, p_most integer, p_chosen uuid[]) returns integer
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
begin
  if not pg_try_advisory_xact_lock(hashtextextended('sentinel.running ' || p_user, 0)) then
    return 0;
  end if;
  return greatest(0, p_most
    - (select count(*) from (select from public.analysis_requests r
                              where r.status = 'running' and r.user_id >= p_user and r.user_id <= p_user
                              order by r.user_id, r.id limit p_most) running)
    - (select count(*) from public.analysis_requests r where r.id = any (p_chosen) and r.user_id = p_user));
end $$;

-- One round: each of these users gives an equal part of what is missing to p_upto, its best that nobody has locked.
-- Of several lanes that have some, the best one gives one, because their order shows only one by one; the same where
-- only priorities from p_least on are wanted.
create function sentinel.serve(
  p_users uuid[], p_lanes text[], p_upto integer, p_least smallint, p_most integer, inout chosen uuid[], out givers uuid[])
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_missing integer := p_upto - cardinality(chosen);
  v_users integer := cardinality(p_users);
  v_got uuid[];
begin
  select array_agg(g.id order by g.n, g.m), array_agg(g.user_id order by g.n) filter (where g.m = 1) into v_got, givers
    from (
      select u.n, u.user_id, i.id, i.m
        from (
          select u.n, u.user_id, best.ids
            from unnest(p_users) with ordinality as u (user_id, n)
           cross join lateral (
             select greatest(1, v_missing / v_users + (u.n <= v_missing % v_users)::integer) as part) share
           cross join lateral (
             select case when p_most is null then share.part
                         else least(share.part, sentinel.room(u.user_id, p_most, chosen)) end as part offset 0) allowed
           cross join lateral (
             select taken.ids from (
               select array(
                        select r.id from public.analysis_requests r
                         where r.status = 'queued' and r.id <> all (chosen)
                           and (r.lane, r.user_id) >= (head.lane, u.user_id)
                           and (r.lane, r.user_id) <= (head.lane, u.user_id)
                         order by r.lane, r.user_id, r.priority desc, r.run_at, r.id
                         limit case when head.lanes = 1 and p_least < 0 then allowed.part else least(1, allowed.part) end
                         for no key update skip locked) as ids
                 from (
                   select k.lane, h.priority, h.run_at, h.id, count(*) over () as lanes
                     from unnest(p_lanes) as k (lane)
                    cross join lateral (
                      select r.priority, r.run_at, r.id from public.analysis_requests r
                       where r.status = 'queued' and r.id <> all (chosen)
                         and (r.lane, r.user_id) >= (k.lane, u.user_id)
                         and (r.lane, r.user_id) <= (k.lane, u.user_id)
                       order by r.lane, r.user_id, r.priority desc, r.run_at, r.id limit 1) h
                    where h.priority >= p_least) head
                order by head.priority desc, head.run_at, head.id offset 0) taken
              where cardinality(taken.ids) > 0 limit 1) best
           limit v_missing) u
       cross join lateral unnest(u.ids) with ordinality as i (id, m)) g;
  chosen := chosen || coalesce(v_got, '{}');
  givers := coalesce(givers, '{}');
end $$;

-- The best priorities above 0 over all users, those of one priority in turn. Compared as rows, in an order that this index
-- alone has: by equality the planner may take any other, and then reads all that a lane, or a user, has waiting.
create index analysis_requests_ahead on public.analysis_requests (lane, (-priority), user_id, run_at, id)
  where status = 'queued' and priority > 0;

create function sentinel.by_priority(p_lanes text[], p_limit integer, p_most integer) returns uuid[]
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_chosen uuid[] := '{}';
  v_users uuid[];
  v_level smallint := 101;
begin
  while cardinality(v_chosen) < p_limit loop
    v_level := (
      select h.priority from unnest(p_lanes) as k (lane)
       cross join lateral (
         select r.lane, r.priority from public.analysis_requests r
          where r.status = 'queued' and r.priority > 0 and (r.lane, -r.priority) > (k.lane, -v_level)
          order by r.lane, -r.priority limit 1) h
       where h.lane = k.lane order by h.priority desc limit 1);
    exit when v_level is null;
    with recursive waiting (lane, user_id, n) as (
      select k.lane, (
        select h.user_id from (
          select r.lane, r.priority, r.user_id from public.analysis_requests r
           where r.status = 'queued' and r.priority > 0 and (r.lane, -r.priority) >= (k.lane, -v_level)
           order by r.lane, -r.priority, r.user_id limit 1) h
         where h.lane = k.lane and h.priority = v_level), 1
        from unnest(p_lanes) as k (lane)
      union all
      select w.lane, (
        select h.user_id from (
          select r.lane, r.priority, r.user_id from public.analysis_requests r
           where r.status = 'queued' and r.priority > 0
             and (r.lane, -r.priority, r.user_id) > (w.lane, -v_level, w.user_id)
           order by r.lane, -r.priority, r.user_id limit 1) h
         where h.lane = w.lane and h.priority = v_level), w.n + 1
        from waiting w where w.user_id is not null and w.n < 100)
    select array_agg(distinct w.user_id) into v_users from waiting w where w.user_id is not null;
    while cardinality(v_chosen) < p_limit and cardinality(v_users) > 0 loop
      select s.chosen, s.givers into v_chosen, v_users
        from sentinel.serve(v_users, p_lanes, p_limit, v_level, p_most, v_chosen) s;
    end loop;
  end loop;
  return v_chosen;
end $$;

-- Of users who share what cannot be shared equally, which is the last that gives one more: the next claim begins
-- behind it.
create function sentinel.last_with_more(p_count integer, p_users integer) returns integer
language sql immutable set search_path = '' as $$
  select case when p_count % p_users = 0 then p_users else p_count % p_users end
$$;

-- Round the users, one request each; when all were asked, what is missing comes from those who had some.
create function sentinel.by_turns(
  p_lanes text[], p_limit integer, p_most integer, p_start uuid, inout chosen uuid[], out last_user uuid)
language plpgsql set search_path = '' as $$
declare
  v_after uuid := p_start;
  v_upto uuid;
  v_missing integer := p_limit - cardinality(chosen);
  v_more boolean := true;
  v_users uuid[];
  v_givers uuid[] := '{}';
  v_visits integer := 0;
  s record;
begin
  -- Users at their limit, or whose requests other claims hold just now, give none; the next claim begins behind them.
  while v_more and v_missing > 0 and v_visits < 500 loop
    v_users := sentinel.next_users(p_lanes, v_after, v_upto, v_missing);
    if cardinality(v_users) < v_missing and v_upto is null then
      v_upto := p_start;
      v_users := v_users || sentinel.next_users(p_lanes, null, v_upto, v_missing - cardinality(v_users));
    end if;
    v_more := cardinality(v_users) = v_missing;
    exit when cardinality(v_users) = 0;
    v_visits := v_visits + cardinality(v_users);
    select * into s from sentinel.serve(v_users, p_lanes, p_limit, (-100)::smallint, p_most, chosen);
    chosen := s.chosen;
    v_after := v_users[cardinality(v_users)];
    last_user := v_users[sentinel.last_with_more(v_missing, cardinality(v_users))];
    v_givers := v_givers || s.givers;
    v_missing := p_limit - cardinality(chosen);
  end loop;
  while not v_more and cardinality(chosen) < p_limit and cardinality(v_givers) > 0 loop
    select * into s from sentinel.serve(v_givers, p_lanes, p_limit, (-100)::smallint, p_most, chosen);
    last_user := v_givers[sentinel.last_with_more(p_limit - cardinality(chosen), cardinality(v_givers))];
    chosen := s.chosen;
    v_givers := s.givers;
  end loop;
end $$;

-- The requests that a claim takes, locked, in their order.
create or replace function sentinel.choose(p_worker uuid, p_lanes text[], p_limit integer) returns uuid[]
language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
  v_most integer := (
    select case when jsonb_typeof(s.value) = 'number' then least(greatest((s.value #>> '{}')::numeric, 0), 1000000) end
      from sentinel.settings s where s.name = 'max_running_requests');
  v_turn sentinel.turns;
  v_chosen uuid[];
  v_last uuid;
begin
  select t.* into v_turn from sentinel.turns t where t.worker = p_worker;
  v_chosen := sentinel.by_priority(p_lanes, (p_limit + case when v_turn.odd then 0 else 1 end) / 2, v_most);
  select b.chosen, b.last_user into v_chosen, v_last
    from sentinel.by_turns(p_lanes, p_limit, v_most, coalesce(v_turn.after_user, gen_random_uuid()), v_chosen) b;
  if cardinality(v_chosen) > 0 or v_last is not null then
    v_last := coalesce(v_last, v_turn.after_user, gen_random_uuid());
    if v_turn.worker is null then
      insert into sentinel.turns (worker, after_user, odd) values (p_worker, v_last, true) on conflict do nothing;
    else
      update sentinel.turns t set after_user = v_last, odd = not t.odd, seen_at = now()
       where t.worker = (select m.worker from sentinel.turns m where m.worker = p_worker for no key update skip locked);
    end if;
  end if;
  return v_chosen;
end $$;

-- Leases of this worker that it does not list: the answer that carried them was lost.
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

-- Queued requests of these lanes, chosen by turns, taken by this worker.
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
    -- A lease that outlived its request's claim would otherwise stop every worker's claims.
    on conflict (request_id) do update
       set fence = excluded.fence, worker = excluded.worker, attempt = excluded.attempt,
           claimed_at = excluded.claimed_at, lease_until = excluded.lease_until;
  end if;
  return v_ids;
end $$;

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
  select r.id, r.fence, r.user_id, r.media_kind, r.storage_path, r.source_url, r.detector, r.options, r.priority,
         r.attempt, r.max_attempts, r.crashes, r.cancel_requested, r.created_at, v_until,
         extract(epoch from v_until - clock_timestamp())::double precision,
         extract(epoch from clock_timestamp() - r.run_at)::double precision, r.id = any (v_again)
    from public.analysis_requests r where r.id = any (v_ids) order by array_position(v_ids, r.id);
end $$;
-- What a worker says of one attempt's end, and what it is answered.
create type sentinel.ending as (id uuid, fence uuid, outcome text, entry jsonb);
create type sentinel.ended as (id uuid, fence uuid, answer text, due_in_seconds double precision);

-- Carry out the endings whose request and lease can be locked, request first; what is left out is for explain().
create function sentinel.end_attempts(p_worker uuid, p_endings sentinel.ending[]) returns sentinel.ended[]
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_asked uuid[] := array(select i.id from unnest(p_endings) i);
  v_running uuid[] := array(
    select q.id from public.analysis_requests q where q.id = any (v_asked) and q.status = 'running'
     order by q.id for no key update skip locked);
  v_leased uuid[] := array(
    select l.request_id from sentinel.leases l where l.request_id = any (v_running) and l.worker = p_worker
       for update skip locked);
  -- `= any (array)` beside a join: a plan that was made while a table was empty must not read all of it later.
  v_held uuid[] := array(
    select q.id from unnest(p_endings) i
      join public.analysis_requests q on q.id = i.id and q.fence = i.fence
      join sentinel.leases l on l.request_id = i.id and l.fence = i.fence
     where q.id = any (v_leased) and l.request_id = any (v_leased));
  v_succeeded uuid[] := array(
    select i.id from unnest(p_endings) i where i.outcome = 'succeeded' and i.id = any (v_held));
  v_ended sentinel.ended[];
begin
  update public.analysis_results e set is_current = false, superseded_at = now()
   where e.request_id = any (v_succeeded) and e.is_current;
  with freed as (
    delete from sentinel.leases l where l.request_id = any (v_held) returning l.*),
  told as (
    select q as request, i.outcome, i.entry, f.claimed_at,
           sentinel.to_number(i.entry -> 'delay_seconds', 0, 86400) as delay,
           sentinel.to_text(i.entry -> 'error_code', 64) as code
      from freed f join unnest(p_endings) i on i.id = f.request_id and i.fence = f.fence
      join public.analysis_requests q on q.id = f.request_id),
  answered as materialized (
    select t.*, sentinel.status_after(t.outcome, t.request, t.delay) as answer from told t),
  ended as materialized (
    select (a.request).*, a.outcome, a.entry, a.claimed_at, a.answer,
           a.answer in ('failed', 'scheduled', 'queued') as unfinished,
           case when a.code ~ '^[a-z0-9_]+$' then a.code
                when a.answer = 'failed' or a.code is not null then 'unknown_error' end as code,
           case when a.answer = 'queued' then 0
                when a.answer = 'scheduled' and a.outcome = 'retry'
                  then sentinel.backoff_seconds((a.request).attempt, a.delay)
                when a.answer = 'scheduled' then a.delay end as due_in_seconds
      from answered a),
  moved as (
    update public.analysis_requests q set
      status = e.answer, fence = gen_random_uuid(), stage = null, cancel_requested = false,
      progress = case when e.answer = 'succeeded' then 100 end,
      attempt = case when e.outcome in ('snoozed', 'released') and e.answer <> 'cancelled'
                     then greatest(q.attempt - 1, 0) else q.attempt end,
      -- A request that is handed back at once keeps its place in the queue.
      run_at = case when e.answer = 'scheduled'
                    then clock_timestamp() + make_interval(secs => e.due_in_seconds) else q.run_at end,
      verdict = case when e.answer = 'succeeded' then e.entry -> 'result' ->> 'verdict' end,
      fake_probability = case when e.answer = 'succeeded'
                              then (e.entry -> 'result' ->> 'fake_probability')::double precision end,
      error_code = case when e.unfinished then coalesce(e.code, q.error_code) end,
      error_message = case when not e.unfinished then null when e.code is null then q.error_message
                           else sentinel.to_text(e.entry -> 'error_message', 500) end,
      error_params = case
        when not e.unfinished then null
        when e.code is null then q.error_params
        when jsonb_typeof(e.entry -> 'error_params') = 'object'
         and octet_length((e.entry -> 'error_params')::text) <= 4096 then e.entry -> 'error_params' end,
      finished_at = case when e.answer in ('succeeded', 'failed', 'cancelled') then clock_timestamp() end
      from ended e where q.id = e.id),
  stored as (
    insert into public.analysis_results (
      request_id, user_id, fence, attempt, worker, verdict, fake_probability, threshold, verdict_reason, detector,
      timeline, faces, frames, audio, media, derived, timings, notice)
    select e.id, e.user_id, e.fence, e.attempt, p_worker, d.result ->> 'verdict',
           (d.result ->> 'fake_probability')::double precision, (d.result ->> 'threshold')::double precision,
           sentinel.to_text(d.result -> 'verdict_reason', 64),
           coalesce(nullif(d.result -> 'detector', 'null'), '{}'),
           coalesce(nullif(d.result -> 'timeline', 'null'), '[]'),
           nullif(d.result -> 'faces', 'null'), nullif(d.result -> 'frames', 'null'),
           nullif(d.result -> 'audio', 'null'), coalesce(nullif(d.result -> 'media', 'null'), '{}'),
           nullif(d.result -> 'derived', 'null'), coalesce(nullif(d.result -> 'timings', 'null'), '{}'),
           sentinel.to_text(d.result -> 'notice', 500)
      from ended e cross join lateral (select e.entry -> 'result' as result) d where e.answer = 'succeeded'),
  remembered as (
    insert into sentinel.attempts (
      request_id, fence, attempt, worker, claimed_at, outcome, answer, stage, error_code, error)
    select e.id, e.fence, e.attempt, p_worker, e.claimed_at, e.outcome, e.answer,
           coalesce(sentinel.to_text(e.entry -> 'stage', 64), e.stage), e.code,
           case when octet_length((e.entry -> 'error_detail')::text) <= 65536
                then nullif(nullif(e.entry -> 'error_detail', 'null'), '{}') end
      from ended e on conflict do nothing)
  select coalesce(array_agg((e.id, e.fence, e.answer, e.due_in_seconds)::sentinel.ended), '{}') into v_ended from ended e;
  return v_ended;
end $$;

-- Why an ending was not carried out: it was before, another has its place, something holds a lock, or it is odd.
create function sentinel.explain(
  p_worker uuid, p_id uuid, p_fence uuid, p_valid boolean, out answer text, out due_in_seconds double precision)
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  r public.analysis_requests;
begin
  if p_id is null or p_fence is null then
    answer := 'invalid';
    return;
  end if;
  select q.* into r from public.analysis_requests q where q.id = p_id;
  if r.status = 'running' and r.fence = p_fence then
    answer := case
      when not exists (select from sentinel.leases l where l.request_id = p_id and l.fence = p_fence
                          and l.worker = p_worker) then 'lost'
      when p_valid then 'busy' else 'invalid' end;
    return;
  end if;
  select a.answer into answer from sentinel.attempts a
   where a.request_id = p_id and a.fence = p_fence and a.worker = p_worker
     and a.outcome not in ('lease_expired', 'moved_by_hand');
  answer := coalesce(answer, 'lost');
  due_in_seconds := case when answer = r.status and answer in ('queued', 'scheduled')
    then greatest(0, extract(epoch from r.run_at - clock_timestamp())) end;
end $$;

create or replace function public.sentinel_finish(args jsonb)
returns table (id uuid, answer text, due_in_seconds double precision)
language plpgsql volatile security definer
set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
  v_worker uuid := sentinel.worker_of(args);
  v_endings sentinel.ending[] := array(
    select (sentinel.to_uuid(e -> 'id'), sentinel.to_uuid(e -> 'fence'),
            case when e ->> 'outcome' in ('succeeded', 'failed', 'retry', 'snoozed', 'released', 'cancelled')
                  and octet_length((e -> 'result')::text) <= 1048576 is not false
                 then e ->> 'outcome' end, e)::sentinel.ending
      from sentinel.elements(args, 'outcomes') e);
  v_valid sentinel.ending[] := array(
    select distinct on (i.id, i.fence) i from unnest(v_endings) i
     where i.outcome is not null and i.id is not null order by i.id, i.fence);
  v_ending sentinel.ending;
  v_ended sentinel.ended[] := '{}';
begin
  perform set_config('sentinel.moving', 'on', true);
  begin
    v_ended := sentinel.end_attempts(v_worker, v_valid);
  exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
    -- One that cannot be stored must not stop the others.
    foreach v_ending in array v_valid loop
      begin
        v_ended := v_ended || sentinel.end_attempts(v_worker, array[v_ending]);
      exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
        raise log 'sentinel_finish refused the outcome of %: % %', v_ending.id, sqlstate, sqlerrm;
        v_ended := v_ended || (v_ending.id, v_ending.fence, 'invalid', null)::sentinel.ended;
      end;
    end loop;
  end;
  perform set_config('sentinel.moving', '', true);
  return query
  select i.id, d.answer, d.due_in_seconds
    from unnest(v_endings) i join unnest(v_ended) d on d.id = i.id and d.fence = i.fence
  union all
  select i.id, x.answer, x.due_in_seconds
    from unnest(v_endings) i cross join lateral sentinel.explain(v_worker, i.id, i.fence, i.outcome is not null) x
   where not exists (select from unnest(v_ended) d where d.id = i.id and d.fence = i.fence)
   order by 1;
end $$;

revoke all on function
  sentinel.next_users(text[], uuid, uuid, integer), sentinel.room(uuid, integer, uuid[]),
  sentinel.serve(uuid[], text[], integer, smallint, integer, uuid[]), sentinel.by_priority(text[], integer, integer),
  sentinel.by_turns(text[], integer, integer, uuid, uuid[]), sentinel.last_with_more(integer, integer),
  sentinel.end_attempts(uuid, sentinel.ending[]),
  sentinel.explain(uuid, uuid, uuid, boolean), sentinel.offer_again(uuid, uuid[], integer, timestamptz),
  sentinel.take_turns(uuid, text[], integer, timestamptz)
  from public, anon, authenticated, service_role;
