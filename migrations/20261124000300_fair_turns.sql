-- Users take turns, so that one with ten thousand requests does not keep one with a single request waiting.
--
-- Nothing is counted: who waits and who runs is read from indexes, so that no change by hand can put it wrong. A claim
-- goes round the users in the order of their ids, from where the same worker's last claim ended, and takes one request
-- of each. Half of a claim goes by priority over all users first: priority is a head start, and nobody starves.

create index analysis_requests_turns on public.analysis_requests (lane, user_id, priority desc, run_at, id)
  where status = 'queued';
create index analysis_requests_urgent on public.analysis_requests (lane, priority desc, user_id, run_at, id)
  where status = 'queued' and priority > 0;
create index analysis_requests_at_work on public.analysis_requests (user_id, id) where status = 'running';

insert into sentinel.settings (name, value, note) values
  ('max_running_requests', 'null', 'How many requests of a user may run at the same time; null: any number.');

-- A row of each worker's own: no two claims wait for each other.
create table sentinel.turns (
  worker     uuid primary key,
  after_user uuid not null,
  odd        boolean not null default false,
  seen_at    timestamptz not null default now()
);
comment on table sentinel.turns is 'Where each worker''s next claim goes on: after which user.';
comment on column sentinel.turns.odd is 'Whose turn the middle place of an odd claim is: priority''s, or the users''.';

-- Bounds on (lane, user_id) instead of equality, here and below: with `lane = …` the planner may think that any index in
-- the order of users will do, and then reads every request of a lane that has none waiting.
create function sentinel.next_user(p_lanes text[], p_after uuid) returns uuid
language plpgsql stable set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
begin
  return (
  select n.user_id
    from unnest(p_lanes) as k (lane)
   cross join lateral (
     (select r.lane, r.user_id from public.analysis_requests r
       where r.status = 'queued' and p_after is null and r.lane >= k.lane order by r.lane, r.user_id limit 1)
     union all
     (select r.lane, r.user_id from public.analysis_requests r
       where r.status = 'queued' and (r.lane, r.user_id) > (k.lane, p_after) order by r.lane, r.user_id limit 1)) n
   where n.lane = k.lane order by n.user_id limit 1);
end $$;

-- How many more of a user's requests may run. Another claim that is deciding the same just now leaves none to this one.
create function sentinel.room(p_user uuid, p_chosen uuid[]) returns integer
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  -- Read here and not by sentinel.quota: a function in SQL is planned anew at each call.
  v_most integer := (
    select case when jsonb_typeof(s.value) = 'number' then least(greatest((s.value #>> '{}')::numeric, 0), 1000000) end
      from sentinel.settings s where s.name = 'max_running_requests');
begin
  if v_most is null then
    return 1000000;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('sentinel.running ' || p_user, 0)) then
    return 0;
  end if;
  return v_most
    - (select count(*) from (select from public.analysis_requests r
                              where r.status = 'running' and r.user_id = p_user limit v_most) running)
    - (select count(*) from public.analysis_requests r where r.id = any (p_chosen) and r.user_id = p_user);
end $$;

-- Lock a user's best requests that nobody has locked: up to p_limit of one lane, or one where several lanes have some,
-- because their order shows only one by one, or where only those from a priority on are wanted.
create function sentinel.lock_best(p_user uuid, p_lanes text[], p_limit integer, p_least smallint, p_chosen uuid[])
returns uuid[]
language plpgsql set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_limit integer := least(p_limit, sentinel.room(p_user, p_chosen));
  v_lane text;
  v_lanes integer;
  v_got uuid[];
begin
  if v_limit <= 0 then
    return '{}';
  end if;
  for v_lane, v_lanes in
    select k.lane, count(*) over ()
      from unnest(p_lanes) as k (lane)
     cross join lateral (
       select r.priority, r.run_at, r.id from public.analysis_requests r
        where r.status = 'queued' and r.id <> all (p_chosen)
          and (r.lane, r.user_id) >= (k.lane, p_user) and (r.lane, r.user_id) <= (k.lane, p_user)
        order by r.lane, r.user_id, r.priority desc, r.run_at, r.id limit 1) h
     where h.priority >= p_least
     order by h.priority desc, h.run_at, h.id
  loop
    v_got := array(
      select r.id from public.analysis_requests r
       where r.status = 'queued' and r.id <> all (p_chosen)
         and (r.lane, r.user_id) >= (v_lane, p_user) and (r.lane, r.user_id) <= (v_lane, p_user)
       order by r.lane, r.user_id, r.priority desc, r.run_at, r.id
       limit case when v_lanes = 1 and p_least < 0 then v_limit else 1 end for no key update skip locked);
    exit when cardinality(v_got) > 0;
  end loop;
  return coalesce(v_got, '{}');
end $$;

-- One round: each of these users gives an equal part of what is missing to p_upto.
create function sentinel.serve(
  p_users uuid[], p_lanes text[], p_upto integer, p_least smallint,
  inout chosen uuid[], out givers uuid[], out last_user uuid)
language plpgsql set search_path = '' as $$
declare
  v_each integer := ceil((p_upto - cardinality(chosen))::numeric / greatest(cardinality(p_users), 1));
  v_user uuid;
  v_got uuid[];
begin
  givers := '{}';
  foreach v_user in array p_users loop
    exit when cardinality(chosen) >= p_upto;
    v_got := sentinel.lock_best(v_user, p_lanes, least(v_each, p_upto - cardinality(chosen)), p_least, chosen);
    last_user := v_user;
    if cardinality(v_got) > 0 then
      chosen := chosen || v_got;
      givers := givers || v_user;
    end if;
  end loop;
end $$;

-- The best priorities above 0 over all users, those of one priority in turn.
create function sentinel.by_priority(p_lanes text[], p_limit integer) returns uuid[]
language plpgsql set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_chosen uuid[] := '{}';
  v_users uuid[];
  v_level smallint := 101;
begin
  while cardinality(v_chosen) < p_limit loop
    v_level := (
      select h.priority from unnest(p_lanes) as k (lane)
       cross join lateral (
         select r.priority from public.analysis_requests r
          where r.status = 'queued' and r.priority > 0 and r.lane = k.lane and r.priority < v_level
          order by r.priority desc limit 1) h
       order by h.priority desc limit 1);
    exit when v_level is null;
    with recursive waiting (lane, user_id, n) as (
      select k.lane, (select r.user_id from public.analysis_requests r
                       where r.status = 'queued' and r.priority > 0 and r.lane = k.lane and r.priority = v_level
                       order by r.user_id limit 1), 1
        from unnest(p_lanes) as k (lane)
      union all
      select w.lane, (select r.user_id from public.analysis_requests r
                       where r.status = 'queued' and r.priority > 0 and r.lane = w.lane and r.priority = v_level
                         and r.user_id > w.user_id order by r.user_id limit 1), w.n + 1
        from waiting w where w.user_id is not null and w.n < 100)
    select array_agg(distinct w.user_id) into v_users from waiting w where w.user_id is not null;
    while cardinality(v_chosen) < p_limit and cardinality(v_users) > 0 loop
      select s.chosen, s.givers into v_chosen, v_users
        from sentinel.serve(v_users, p_lanes, p_limit, v_level, v_chosen) s;
    end loop;
  end loop;
  return v_chosen;
end $$;

-- Round the users, one request each; when all were asked, what is missing comes from those who had some.
create function sentinel.by_turns(
  p_lanes text[], p_limit integer, p_start uuid, inout chosen uuid[], out last_user uuid)
language plpgsql set search_path = '' as $$
declare
  v_after uuid := p_start;
  v_next uuid;
  v_wrapped boolean := false;
  v_more boolean := true;
  v_users uuid[];
  v_givers uuid[] := '{}';
  v_visits integer := 0;
  s record;
begin
  -- Users at their limit, or whose requests other claims hold just now, give none; the next claim begins behind them.
  while v_more and cardinality(chosen) < p_limit and v_visits < 500 loop
    v_users := '{}';
    while v_more and cardinality(v_users) < p_limit - cardinality(chosen) loop
      v_next := sentinel.next_user(p_lanes, v_after);
      if v_next is null and not v_wrapped then
        v_wrapped := true;
        v_after := null;
        continue;
      end if;
      v_more := v_next is not null and not (v_wrapped and v_next > p_start);
      if v_more then
        v_users := v_users || v_next;
        v_after := v_next;
      end if;
    end loop;
    v_visits := v_visits + cardinality(v_users);
    select * into s from sentinel.serve(v_users, p_lanes, p_limit, (-100)::smallint, chosen);
    chosen := s.chosen;
    last_user := coalesce(s.last_user, last_user);
    v_givers := v_givers || s.givers;
  end loop;
  while not v_more and cardinality(chosen) < p_limit and cardinality(v_givers) > 0 loop
    select * into s from sentinel.serve(v_givers, p_lanes, p_limit, (-100)::smallint, chosen);
    chosen := s.chosen;
    last_user := s.last_user;
    v_givers := s.givers;
  end loop;
end $$;

-- The requests that a claim takes, locked, in their order.
create function sentinel.choose(p_worker uuid, p_lanes text[], p_limit integer) returns uuid[]
language plpgsql set search_path = '' as $$
declare
  v_turn sentinel.turns;
  v_chosen uuid[];
  v_last uuid;
begin
  select t.* into v_turn from sentinel.turns t where t.worker = p_worker;
  v_chosen := sentinel.by_priority(p_lanes, (p_limit + case when v_turn.odd then 0 else 1 end) / 2);
  select b.chosen, b.last_user into v_chosen, v_last
    from sentinel.by_turns(p_lanes, p_limit, coalesce(v_turn.after_user, gen_random_uuid()), v_chosen) b;
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

create or replace function sentinel.take(p_worker uuid, p_lanes text[], p_limit integer, p_until timestamptz)
returns setof sentinel.claimed
language plpgsql volatile set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_ids uuid[] := sentinel.choose(p_worker, p_lanes, p_limit);
begin
  if cardinality(v_ids) = 0 then
    return;
  end if;
  return query
  with taken as (
    update public.analysis_requests r
       set status = 'running', fence = gen_random_uuid(), attempt = r.attempt + 1, stage = null, progress = 0,
           started_at = clock_timestamp()
     where r.id = any (v_ids) returning r as request),
  leased as (
    insert into sentinel.leases as l (request_id, fence, worker, attempt, lease_until)
    select (t.request).id, (t.request).fence, p_worker, (t.request).attempt, p_until from taken t
    -- A lease that outlived its request's claim would otherwise stop every worker's claims.
    on conflict (request_id) do update
       set fence = excluded.fence, worker = excluded.worker, attempt = excluded.attempt,
           claimed_at = excluded.claimed_at, lease_until = excluded.lease_until)
  select c.* from taken t cross join lateral sentinel.claimed_row(t.request, p_until, false) c
   order by array_position(v_ids, c.id);
end $$;

create or replace function sentinel.sweep(
  out promoted integer, out expired integer, out poisoned integer, out unserved integer)
language plpgsql set search_path = '' as $$
begin
  promoted := 0;
  expired := 0;
  poisoned := 0;
  unserved := 0;
  if pg_try_advisory_xact_lock(hashtextextended('sentinel.sweep', 0)) then
    promoted := sentinel.promote();
    select e.expired, e.poisoned into expired, poisoned from sentinel.expire() e;
    unserved := sentinel.fail_unserved();
    delete from sentinel.usage u where u.at < now() - interval '1 hour';
    delete from sentinel.turns t where t.seen_at < now() - interval '1 day';
  end if;
end $$;

revoke all on function
  sentinel.next_user(text[], uuid), sentinel.room(uuid, uuid[]),
  sentinel.lock_best(uuid, text[], integer, smallint, uuid[]),
  sentinel.serve(uuid[], text[], integer, smallint, uuid[]), sentinel.by_priority(text[], integer),
  sentinel.by_turns(text[], integer, uuid, uuid[]), sentinel.choose(uuid, text[], integer)
  from public, anon, authenticated, service_role;
revoke all on sentinel.turns from public, anon, authenticated, service_role;
