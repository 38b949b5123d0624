-- Turns: choose and lock the requests that a claim takes (docs/adr/0011, docs/adr/0019).
--
-- Users take turns, so that one with ten thousand requests does not keep one with a single request waiting. No counters
-- are stored: indexes tell who waits and who runs, so that no change by hand can make them wrong. A claim visits users
-- in the order of their ids, starting where the same worker's last claim ended, and takes one request of each. Before
-- that, half of the claim is filled by priority over all users: priority is a head start, and no user starves.
--
-- Compute goes by turns, too (docs/adr/0027). A user may hold half of the worker's slots that the others leave. Users
-- who have used much CPU time within the hour get the places that nobody else takes.
--
-- Queries use bounds and row comparisons instead of equality, and callers set enable_seqscan off. With `lane = …` the
-- planner may pick any index ordered by user, and then reads every request of a lane in which none is waiting. A plan
-- that was cached while the table was empty is kept after it has filled up.

-- What limits the places of each user in a claim.
create type sentinel.caps as (
  most integer,                -- requests of one user that may run at the same time; null: any number
  slots integer,               -- how many requests this worker runs at the same time; null: no user has a share of them
  held jsonb,                  -- how many requests of each user it runs already; all values are integers
  held_by_all integer,
  heavy_from double precision, -- CPU seconds within the hour; null: nobody is heavy
  paused uuid[]                -- users who get no place
);

-- The next users: up to p_count users after p_after (null: from the first), up to p_upto, with something queued, and
-- the best request of each that is not chosen yet. With a level (above 0): users with something queued at that priority.
create function sentinel.next_users(
  p_lanes text[], p_level smallint, p_after uuid, p_upto uuid, p_count integer, p_chosen uuid[],
  out users uuid[], out ids uuid[])
language plpgsql stable set search_path = '' as $$
declare
  v_after uuid := p_after;
  v_user uuid;
  v_id uuid;
begin
  users := '{}';
  ids := '{}';
  while cardinality(users) < p_count loop
    if p_level is null then
      select h.user_id, h.id into v_user, v_id
        from unnest(p_lanes) as k (lane)
       cross join lateral (
         (select r.lane, r.user_id, r.priority, r.run_at, r.id from public.analysis_requests r
           where r.status = 'queued' and v_after is null and r.lane >= k.lane and r.id <> all (p_chosen)
           order by r.lane, r.user_id, r.priority desc, r.run_at, r.id limit 1)
         union all
         (select r.lane, r.user_id, r.priority, r.run_at, r.id from public.analysis_requests r
           where r.status = 'queued' and (r.lane, r.user_id) > (k.lane, v_after) and r.id <> all (p_chosen)
           order by r.lane, r.user_id, r.priority desc, r.run_at, r.id limit 1)) h
       where h.lane = k.lane order by h.user_id, h.priority desc, h.run_at, h.id limit 1;
    else
      select h.user_id, h.id into v_user, v_id
        from unnest(p_lanes) as k (lane)
       cross join lateral (
         (select r.lane, r.priority, r.user_id, r.run_at, r.id from public.analysis_requests r
           where r.status = 'queued' and r.priority > 0 and v_after is null
             and (r.lane, -r.priority) >= (k.lane, -p_level) and r.id <> all (p_chosen)
           order by r.lane, -r.priority, r.user_id, r.run_at, r.id limit 1)
         union all
         (select r.lane, r.priority, r.user_id, r.run_at, r.id from public.analysis_requests r
           where r.status = 'queued' and r.priority > 0
             and (r.lane, -r.priority, r.user_id) > (k.lane, -p_level, v_after) and r.id <> all (p_chosen)
           order by r.lane, -r.priority, r.user_id, r.run_at, r.id limit 1)) h
       where h.lane = k.lane and h.priority = p_level order by h.user_id, h.run_at, h.id limit 1;
    end if;
    exit when v_user is null or v_user > p_upto;
    users := users || v_user;
    ids := ids || v_id;
    v_after := v_user;
  end loop;
end $$;

-- For each of these users, the number of requests that may still start. It is 0 while another claim is deciding the
-- same for this user, of which sentinel.contended then tells. The locks are taken before the statement that counts: it
-- then sees what their former holders started.
-- Bounds and an order keep the planner from using an index that includes waiting requests.
create function sentinel.room(p_users uuid[], p_most integer, p_owners uuid[]) returns integer[]
language plpgsql set search_path = '' as $$
declare
  v_locked uuid[] := array(
    select u from unnest(p_users) u where pg_try_advisory_xact_lock(hashtextextended('sentinel.running ' || u, 0)));
begin
  if cardinality(v_locked) < cardinality(p_users) then
    perform set_config('sentinel.contended', 'on', true);
  end if;
  return array(
    select case when u.id = any (v_locked) then greatest(0, p_most
             - (select count(*) from (select from public.analysis_requests r
                                       where r.status = 'running' and r.user_id >= u.id and r.user_id <= u.id
                                       order by r.user_id, r.id limit p_most) running)
             - (select count(*) from unnest(p_owners) o where o = u.id)) else 0 end
      from unnest(p_users) with ordinality as u (id, n) order by u.n);
end $$;

-- How many of the missing requests each of these users gives in a round, at most p_each: equal shares, the first ones
-- one more, as far as their limits allow. Shares of the worker's slots are counted place by place, as if each user were
-- asked for one after the other: a place may be the user's if it is in the half that the others leave, rounded up.
create function sentinel.parts(
  p_users uuid[], p_missing integer, p_each integer, p_caps sentinel.caps, p_owners uuid[]) returns integer[]
language plpgsql set search_path = '' as $$
declare
  v_users integer := cardinality(p_users);
  v_room integer[];
  v_held integer[];
  v_parts integer[];
  v_taken integer;
  v_left integer := p_missing;
  v_before integer;
begin
  if p_caps.most is not null then
    v_room := sentinel.room(p_users, p_caps.most, p_owners);
  end if;
  if cardinality(p_caps.paused) > 0 then
    v_room := array(
      select case when u.id = any (p_caps.paused) then 0 else v_room[u.n] end
        from unnest(p_users) with ordinality as u (id, n) order by u.n);
  end if;
  if p_caps.slots is null then
    if p_each = 1 and v_room is null and v_users <= p_missing then
      return array_fill(1, array[v_users]);
    end if;
    return array(
      select least(p_each, p_missing / v_users + (n <= p_missing % v_users)::integer, v_room[n])
        from generate_series(1, v_users) n order by n);
  end if;
  for n in 1 .. v_users loop
    v_held[n] := coalesce((p_caps.held ->> p_users[n]::text)::integer, 0)
                 + cardinality(array_positions(p_owners, p_users[n]));
  end loop;
  v_taken := p_caps.held_by_all + cardinality(p_owners);
  v_parts := array_fill(0, array[v_users]);
  loop
    v_before := v_left;
    for n in 1 .. v_users loop
      exit when v_left = 0;
      if v_parts[n] < least(p_each, v_room[n]) and v_held[n] < (p_caps.slots - (v_taken - v_held[n]) + 1) / 2 then
        v_parts[n] := v_parts[n] + 1;
        v_held[n] := v_held[n] + 1;
        v_taken := v_taken + 1;
        v_left := v_left - 1;
      end if;
    end loop;
    exit when v_left = v_before or v_left = 0 or p_each = 1;
  end loop;
  return v_parts;
end $$;

-- Those of these users whose CPU seconds within the hour exceed a limit, in the same order.
create function sentinel.heavy(p_users uuid[], p_seconds double precision) returns uuid[]
language plpgsql stable set search_path = '' as $$
declare
  v_user uuid;
  v_heavy uuid[] := '{}';
begin
  foreach v_user in array p_users loop
    if (select sum(c.cpu_seconds) from sentinel.compute c
         where c.user_id >= v_user and c.user_id <= v_user and c.since > now() - interval '1 hour') > p_seconds
    then
      v_heavy := v_heavy || v_user;
    end if;
  end loop;
  return v_heavy;
end $$;

-- Lock the best requests of these users that no other claim holds, as many of each as its part says, and add them to
-- the chosen ones. If a user has requests in several lanes, the best lane gives one, because their order shows only one by
-- one; the same if only priorities from p_least on are wanted.
create function sentinel.serve(
  p_users uuid[], p_parts integer[], p_lanes text[], p_least smallint,
  inout chosen uuid[], inout owners uuid[], out givers uuid[])
language plpgsql set search_path = '' as $$
declare
  v_got uuid[];
  v_from uuid[];
begin
  select array_agg(i.id order by u.n, i.m), array_agg(u.user_id order by u.n, i.m),
         array_agg(u.user_id order by u.n) filter (where i.m = 1)
    into v_got, v_from, givers
    from (
      select u.n, u.user_id, best.ids
        from unnest(p_users, p_parts) with ordinality as u (user_id, part, n)
       cross join lateral (
         select taken.ids from (
           select array(
                    select r.id from public.analysis_requests r
                     where r.status = 'queued' and r.id <> all (chosen)
                       and (r.lane, r.user_id) >= (head.lane, u.user_id)
                       and (r.lane, r.user_id) <= (head.lane, u.user_id)
                     order by r.lane, r.user_id, r.priority desc, r.run_at, r.id
                     limit case when head.lanes = 1 and p_least < 0 then u.part else 1 end
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
       where u.part > 0) u
   cross join lateral unnest(u.ids) with ordinality as i (id, m);
  chosen := chosen || coalesce(v_got, '{}');
  owners := owners || coalesce(v_from, '{}');
  givers := coalesce(givers, '{}');
end $$;

-- The position of the last user who gives one more when p_count cannot be divided equally: the next claim starts after
-- that user.
create function sentinel.last_with_more(p_count integer, p_users integer) returns integer
language sql immutable set search_path = '' as $$
  select case when p_count % p_users = 0 then p_users else p_count % p_users end
$$;

-- Visit the users in turn, one request each; after a full round, users who gave some give the rest. With a level: visit
-- only users with something queued at that priority. Heavy users give none, but are listed; with p_heavy, only those in
-- it are visited.
create function sentinel.by_turns(
  p_lanes text[], p_limit integer, p_caps sentinel.caps, p_start uuid, p_level smallint, p_heavy uuid[],
  inout chosen uuid[], inout owners uuid[], out last_user uuid, out heavy uuid[], out visited_all boolean)
language plpgsql set search_path = '' as $$
declare
  v_least smallint := coalesce(p_level, -100);
  v_most_visits integer := case when p_level is null then 500 else 100 end;
  v_after uuid := p_start;
  v_upto uuid;
  v_missing integer := p_limit - cardinality(chosen);
  v_more boolean := true;
  v_users uuid[];
  v_ids uuid[];
  v_parts integer[];
  v_got uuid[];
  v_from uuid[];
  v_givers uuid[] := '{}';
  v_visits integer := 0;
  s record;
begin
  heavy := '{}';
  -- Users at their limit, or whose requests are locked by other claims, give none; the next claim starts after them.
  while v_more and v_missing > 0 and v_visits < v_most_visits loop
    if p_heavy is null then
      select n.users, n.ids into v_users, v_ids
        from sentinel.next_users(p_lanes, p_level, v_after, v_upto, v_missing, chosen) n;
      if cardinality(v_users) < v_missing and v_upto is null then
        v_upto := p_start;
        select v_users || n.users, v_ids || n.ids into v_users, v_ids
          from sentinel.next_users(p_lanes, p_level, null, v_upto, v_missing - cardinality(v_users), chosen) n;
      end if;
    else
      v_users := p_heavy[v_visits + 1 : v_visits + v_missing];
      v_ids := array_fill(null::uuid, array[cardinality(v_users)]);
    end if;
    v_more := cardinality(v_users) = v_missing;
    exit when cardinality(v_users) = 0;
    v_visits := v_visits + cardinality(v_users);
    v_after := v_users[cardinality(v_users)];
    last_user := v_after;
    if p_heavy is null and p_caps.heavy_from is not null then
      v_from := sentinel.heavy(v_users, p_caps.heavy_from);
      if cardinality(v_from) > 0 then
        heavy := heavy || v_from;
        select coalesce(array_agg(u.id order by u.n), '{}'), coalesce(array_agg(u.request order by u.n), '{}')
          into v_users, v_ids
          from unnest(v_users, v_ids) with ordinality as u (id, request, n) where u.id <> all (v_from);
        continue when cardinality(v_users) = 0;
      end if;
    end if;
    v_parts := sentinel.parts(v_users, v_missing, 1, p_caps, owners);
    -- The lane is compared in a way that no index serves: it may have changed since the visit.
    select coalesce(array_agg(g.id order by g.n), '{}'), coalesce(array_agg(g.user_id order by g.n), '{}')
      into v_got, v_from
      from (
        select r.id, h.user_id, h.n
          from unnest(v_ids, v_users, v_parts) with ordinality as h (id, user_id, part, n)
          join public.analysis_requests r on r.id = h.id
         where h.part > 0 and r.id = any (v_ids) and r.status = 'queued' and array_position(p_lanes, r.lane) > 0
           for no key update of r skip locked) g;
    chosen := chosen || v_got;
    owners := owners || v_from;
    if cardinality(v_from) < cardinality(v_users) then
      -- The best request of a user is locked: take another.
      select array_agg(u.id order by u.n), array_agg(u.part order by u.n) into v_users, v_parts
        from unnest(v_users, v_parts) with ordinality as u (id, part, n) where u.part > 0 and u.id <> all (v_from);
      if v_users is not null then
        select * into s from sentinel.serve(v_users, v_parts, p_lanes, v_least, chosen, owners);
        chosen := s.chosen;
        owners := s.owners;
        v_from := v_from || s.givers;
      end if;
    end if;
    v_givers := v_givers || v_from;
    v_missing := p_limit - cardinality(chosen);
  end loop;
  visited_all := not v_more;
  while not v_more and v_missing > 0 and cardinality(v_givers) > 0 loop
    v_parts := sentinel.parts(v_givers, v_missing, v_missing, p_caps, owners);
    exit when 0 = all (v_parts);
    select * into s from sentinel.serve(v_givers, v_parts, p_lanes, v_least, chosen, owners);
    last_user := v_givers[sentinel.last_with_more(v_missing, cardinality(v_givers))];
    chosen := s.chosen;
    owners := s.owners;
    -- Those who were asked and have no more are not asked again.
    v_givers := array(
      select u.id from unnest(v_givers, v_parts) with ordinality as u (id, part, n)
       where u.part = 0 or u.id = any (s.givers) order by u.n);
    v_missing := p_limit - cardinality(chosen);
  end loop;
end $$;

-- The requests that a claim takes, locked and in order. First the best priorities above 0 over all users; within a
-- priority, users take turns. Rows are compared in an order that only analysis_requests_ahead has: with equality the
-- planner may use another index, and then reads everything that a lane or a user has waiting.
create function sentinel.choose(
  p_worker uuid, p_lanes text[], p_limit integer, p_slots integer, p_held jsonb) returns uuid[]
language plpgsql set search_path = '' as $$
declare
  v_caps sentinel.caps;
  v_known boolean;
  v_odd boolean;
  v_start uuid;
  v_ahead uuid[];
  v_level smallint := 101;
  v_chosen uuid[] := '{}';
  v_owners uuid[] := '{}';
  v_last uuid;
  v_heavy uuid[];
  v_whole boolean;
  v_last_heavy uuid;
  v_upto integer;
begin
  if p_limit <= 0 then
    return '{}';
  end if;
  select t.worker is not null, coalesce(t.odd, false), coalesce(t.after_user, gen_random_uuid()), t.ahead_after,
         (select case when jsonb_typeof(s.value) = 'number' and (select q.value from sentinel.settings q
                             where q.name = 'quotas') is distinct from 'false'
                      then greatest(0, least(1000000, (s.value #>> '{}')::numeric)) end
            from sentinel.settings s where s.name = 'max_running_requests'),
         (select case when jsonb_typeof(s.value) = 'number' then (s.value #>> '{}')::numeric end
            from sentinel.settings s where s.name = 'fair_compute_seconds')
    into v_known, v_odd, v_start, v_ahead, v_caps.most, v_caps.heavy_from
    from (values (p_worker)) w (id) left join sentinel.turns t on t.worker = w.id;
  v_caps.paused := array(select p.user_id from sentinel.paused p where p.user_id is not null);
  v_caps.slots := p_slots;
  v_caps.held := p_held;
  if p_slots is not null then
    v_caps.held_by_all := (select coalesce(sum(h.value::integer), 0) from jsonb_each_text(p_held) h);
  end if;
  v_upto := (p_limit + case when v_odd then 0 else 1 end) / 2;
  while cardinality(v_chosen) < v_upto loop
    v_level := (
      select h.priority from unnest(p_lanes) as k (lane)
       cross join lateral (
         select r.lane, r.priority from public.analysis_requests r
          where r.status = 'queued' and r.priority > 0 and (r.lane, -r.priority) > (k.lane, -v_level)
          order by r.lane, -r.priority limit 1) h
       where h.lane = k.lane order by h.priority desc limit 1);
    exit when v_level is null;
    select b.chosen, b.owners, b.last_user into v_chosen, v_owners, v_last
      from sentinel.by_turns(
        p_lanes, v_upto, v_caps, coalesce(v_ahead[v_level], v_start), v_level, null, v_chosen, v_owners) b;
    if v_last is not null then
      v_ahead[v_level] := v_last;
    end if;
  end loop;
  select b.chosen, b.owners, b.last_user, b.heavy, b.visited_all into v_chosen, v_owners, v_last, v_heavy, v_whole
    from sentinel.by_turns(p_lanes, p_limit, v_caps, v_start, null, null, v_chosen, v_owners) b;
  if cardinality(v_heavy) > 0 and cardinality(v_chosen) < p_limit then
    select b.chosen, b.last_user into v_chosen, v_last_heavy
      from sentinel.by_turns(p_lanes, p_limit, v_caps, v_start, null, v_heavy, v_chosen, v_owners) b;
    -- If users are left to visit, the next claim goes on with them, and not after the first heavy ones.
    v_last := case when v_whole then v_last_heavy else v_last end;
  end if;
  if cardinality(v_chosen) > 0 or v_last is not null then
    v_last := coalesce(v_last, v_start);
    if not v_known then
      insert into sentinel.turns (worker, after_user, ahead_after, odd) values (p_worker, v_last, v_ahead, true)
      on conflict do nothing;
    else
      update sentinel.turns t set after_user = v_last, ahead_after = v_ahead, odd = not t.odd, seen_at = now()
       where t.worker = (select m.worker from sentinel.turns m where m.worker = p_worker for no key update skip locked);
    end if;
  end if;
  return v_chosen;
end $$;
