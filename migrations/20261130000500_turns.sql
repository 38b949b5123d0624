-- Turns: choose and lock the requests that a claim takes (docs/adr/0011, docs/adr/0019).
--
-- Users take turns, so that one with ten thousand requests does not keep one with a single request waiting. No counters
-- are stored: indexes tell who waits and who runs, so that no change by hand can make them wrong. A claim visits users
-- in the order of their ids, starting where the same worker's last claim ended, and takes one request of each. Before
-- that, half of the claim is filled by priority over all users: priority is a head start, and no user starves.
--
-- Queries use bounds and row comparisons instead of equality, and enable_seqscan is off. With `lane = …` the planner
-- may pick any index ordered by user, and then reads every request of a lane in which none is waiting. A plan that was
-- cached while the table was empty is kept after it has filled up.

-- The next users: up to p_count users after p_after (null: from the first), up to p_upto, with something queued.
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

-- Like next_users above without a level; with a level (above 0), only users with something queued at that priority.
create function sentinel.next_users(p_lanes text[], p_level smallint, p_after uuid, p_upto uuid, p_count integer)
returns uuid[]
language plpgsql stable set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
begin
  if p_level is null then
    return sentinel.next_users(p_lanes, p_after, p_upto, p_count);
  end if;
  return array(
    with recursive turn (user_id, n) as (
      select (
        select h.user_id
          from unnest(p_lanes) as k (lane)
         cross join lateral (
           (select r.lane, r.priority, r.user_id from public.analysis_requests r
             where r.status = 'queued' and r.priority > 0 and p_after is null
               and (r.lane, -r.priority) >= (k.lane, -p_level)
             order by r.lane, -r.priority, r.user_id limit 1)
           union all
           (select r.lane, r.priority, r.user_id from public.analysis_requests r
             where r.status = 'queued' and r.priority > 0
               and (r.lane, -r.priority, r.user_id) > (k.lane, -p_level, p_after)
             order by r.lane, -r.priority, r.user_id limit 1)) h
         where h.lane = k.lane and h.priority = p_level order by h.user_id limit 1), 1
      union all
      select (
        select h.user_id
          from unnest(p_lanes) as k (lane)
         cross join lateral (
           select r.lane, r.priority, r.user_id from public.analysis_requests r
            where r.status = 'queued' and r.priority > 0
              and (r.lane, -r.priority, r.user_id) > (k.lane, -p_level, t.user_id)
            order by r.lane, -r.priority, r.user_id limit 1) h
         where h.lane = k.lane and h.priority = p_level order by h.user_id limit 1), t.n + 1
        from turn t where t.user_id is not null and t.n < p_count)
    select t.user_id from turn t where t.user_id <= coalesce(p_upto, t.user_id) order by t.n);
end $$;

-- The number of a user's requests that may still start. It is 0 while the user is paused, or another claim is deciding
-- the same for this user.
-- Bounds and an order keep the planner from using the index of all of a user's open requests, which includes waiting
-- ones.
create function sentinel.room(p_user uuid, p_most integer, p_chosen uuid[]) returns integer
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
begin
  if exists (select from sentinel.paused p where p.user_id = p_user)
    or not pg_try_advisory_xact_lock(hashtextextended('sentinel.running ' || p_user, 0)) then
    return 0;
  end if;
  return greatest(0, p_most
    - (select count(*) from (select from public.analysis_requests r
                              where r.status = 'running' and r.user_id >= p_user and r.user_id <= p_user
                              order by r.user_id, r.id limit p_most) running)
    - (select count(*) from public.analysis_requests r where r.id = any (p_chosen) and r.user_id = p_user));
end $$;

-- One round: each of these users gives an equal share of the requests missing to p_upto, the best that are not locked.
-- If a user has requests in several lanes, the best lane gives one, because their order shows only one by one; the same
-- if only priorities from p_least on are wanted.
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

-- The position of the last user who gives one more when p_count cannot be divided equally: the next claim starts after
-- that user.
create function sentinel.last_with_more(p_count integer, p_users integer) returns integer
language sql immutable set search_path = '' as $$
  select case when p_count % p_users = 0 then p_users else p_count % p_users end
$$;

-- Visit the users in turn, one request each; after a full round, users who gave some give the rest. With a level: visit
-- only users with something queued at that priority.
create function sentinel.by_turns(
  p_lanes text[], p_limit integer, p_most integer, p_start uuid, p_level smallint,
  inout chosen uuid[], out last_user uuid)
language plpgsql set search_path = '' as $$
declare
  v_least smallint := coalesce(p_level, -100);
  v_most_visits integer := case when p_level is null then 500 else 100 end;
  v_after uuid := p_start;
  v_upto uuid;
  v_missing integer := p_limit - cardinality(chosen);
  v_more boolean := true;
  v_users uuid[];
  v_givers uuid[] := '{}';
  v_visits integer := 0;
  s record;
begin
  -- Users at their limit, or whose requests are locked by other claims, give none; the next claim starts after them.
  while v_more and v_missing > 0 and v_visits < v_most_visits loop
    v_users := sentinel.next_users(p_lanes, p_level, v_after, v_upto, v_missing);
    if cardinality(v_users) < v_missing and v_upto is null then
      v_upto := p_start;
      v_users := v_users || sentinel.next_users(p_lanes, p_level, null, v_upto, v_missing - cardinality(v_users));
    end if;
    v_more := cardinality(v_users) = v_missing;
    exit when cardinality(v_users) = 0;
    v_visits := v_visits + cardinality(v_users);
    select * into s from sentinel.serve(v_users, p_lanes, p_limit, v_least, p_most, chosen);
    chosen := s.chosen;
    v_after := v_users[cardinality(v_users)];
    last_user := v_users[sentinel.last_with_more(v_missing, cardinality(v_users))];
    v_givers := v_givers || s.givers;
    v_missing := p_limit - cardinality(chosen);
  end loop;
  while not v_more and cardinality(chosen) < p_limit and cardinality(v_givers) > 0 loop
    select * into s from sentinel.serve(v_givers, p_lanes, p_limit, v_least, p_most, chosen);
    last_user := v_givers[sentinel.last_with_more(p_limit - cardinality(chosen), cardinality(v_givers))];
    chosen := s.chosen;
    v_givers := s.givers;
  end loop;
end $$;

-- The best priorities above 0 over all users; within a priority, users take turns. Rows are compared in an order that
-- only analysis_requests_ahead has: with equality the planner may use another index, and then reads everything that a
-- lane or a user has waiting.
create function sentinel.by_priority(
  p_lanes text[], p_limit integer, p_most integer, p_start uuid, inout ahead_after uuid[], out chosen uuid[])
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_level smallint := 101;
  v_last uuid;
begin
  chosen := '{}';
  while cardinality(chosen) < p_limit loop
    v_level := (
      select h.priority from unnest(p_lanes) as k (lane)
       cross join lateral (
         select r.lane, r.priority from public.analysis_requests r
          where r.status = 'queued' and r.priority > 0 and (r.lane, -r.priority) > (k.lane, -v_level)
          order by r.lane, -r.priority limit 1) h
       where h.lane = k.lane order by h.priority desc limit 1);
    exit when v_level is null;
    select b.chosen, b.last_user into chosen, v_last
      from sentinel.by_turns(p_lanes, p_limit, p_most, coalesce(ahead_after[v_level], p_start), v_level, chosen) b;
    if v_last is not null then
      ahead_after[v_level] := v_last;
    end if;
  end loop;
end $$;

-- The requests that a claim takes, locked and in order.
create function sentinel.choose(p_worker uuid, p_lanes text[], p_limit integer) returns uuid[]
language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
  v_most integer := (
    select case when jsonb_typeof(s.value) = 'number' then least(greatest((s.value #>> '{}')::numeric, 0), 1000000)
                -- Room is asked for only if there is a limit.
                when exists (select from sentinel.paused p where p.user_id is not null) then 1000000 end
      from sentinel.settings s where s.name = 'max_running_requests');
  v_turn sentinel.turns;
  v_start uuid;
  v_ahead uuid[];
  v_chosen uuid[];
  v_last uuid;
begin
  select t.* into v_turn from sentinel.turns t where t.worker = p_worker;
  v_start := coalesce(v_turn.after_user, gen_random_uuid());
  select b.ahead_after, b.chosen into v_ahead, v_chosen
    from sentinel.by_priority(
      p_lanes, (p_limit + case when v_turn.odd then 0 else 1 end) / 2, v_most, v_start, v_turn.ahead_after) b;
  select b.chosen, b.last_user into v_chosen, v_last
    from sentinel.by_turns(p_lanes, p_limit, v_most, v_start, null::smallint, v_chosen) b;
  if cardinality(v_chosen) > 0 or v_last is not null then
    v_last := coalesce(v_last, v_start);
    if v_turn.worker is null then
      insert into sentinel.turns (worker, after_user, ahead_after, odd) values (p_worker, v_last, v_ahead, true)
      on conflict do nothing;
    else
      update sentinel.turns t set after_user = v_last, ahead_after = v_ahead, odd = not t.odd, seen_at = now()
       where t.worker = (select m.worker from sentinel.turns m where m.worker = p_worker for no key update skip locked);
    end if;
  end if;
  return v_chosen;
end $$;
