-- What a request waits for, shown to its owner: no worker, its time, others before it; and what has waited too long.

-- Attempts that each worker ended, in buckets of five minutes: the recent rate of a lane. Sweeps count them from the
-- history: a write at each finish would be on the path of every request.
create table sentinel.throughput (
  lane     text not null,
  worker   uuid not null,
  since    timestamptz not null,
  requests integer not null,
  seconds  double precision not null,
  until    timestamptz not null,
  primary key (lane, worker, since),
  constraint times_are_finite check (isfinite(since) and isfinite(until)),
  constraint sums_are_bounded check (requests between 0 and 1000000 and seconds between 0 and 1e9)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
revoke all on sentinel.throughput from public, anon, authenticated, service_role;

-- Live workers are the end of this index: not all that were seen within a day are read.
create index workers_seen on sentinel.workers (last_seen);
-- Requests that wait for an answer by some time, and those that were told that no worker offers their lane. Both are
-- empty in a queue without such requests.
create index analysis_requests_answer_by on public.analysis_requests (answer_by)
  where answer_by is not null and status in ('queued', 'scheduled');
create index analysis_requests_unserved on public.analysis_requests (lane, run_at, id)
  where status = 'queued' and error_code = 'no_worker';

create function sentinel.alive_since() returns timestamptz
language sql stable set search_path = '' as $$
  select now() - make_interval(secs => sentinel.setting('worker_alive_seconds', 90))
$$;

-- The lanes that live workers offer.
create function sentinel.served_lanes() returns text[]
language sql stable set search_path = '' set enable_seqscan = off as $$
  select array(select distinct k.lane from sentinel.workers w cross join unnest(w.lanes) as k (lane)
                where w.last_seen > (select sentinel.alive_since()) and not w.draining and k.lane is not null)
$$;

-- Write into these waiting requests that no worker offers their lane. Their fence stays: they still wait.
create function sentinel.tell_unserved(p_ids uuid[]) returns void
language sql volatile set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
  update public.analysis_requests q set
    error_code = 'no_worker',
    error_message = 'No worker offers the detector that this analysis requests at the moment. It waits for one.',
    error_params = jsonb_build_object('detector', q.detector, 'media_kind', q.media_kind)
   where q.id = any (array(
     select r.id from public.analysis_requests r
      where r.id = any (p_ids) and r.status = 'queued' and r.error_code is distinct from 'no_worker'
        for no key update skip locked))
$$;

create function sentinel.tell_inserted() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_served text[] := sentinel.served_lanes();
  v_lanes text[] := array(select distinct i.lane from inserted i where i.status = 'queued' and i.lane <> all (v_served));
begin
  if cardinality(v_lanes) > 0 then
    perform sentinel.tell_unserved(array(
      select i.id from inserted i where i.status = 'queued' and i.lane = any (v_lanes)));
  end if;
  return null;
end $$;

create trigger analysis_requests_tell after insert on public.analysis_requests
  referencing new table as inserted for each statement execute function sentinel.tell_inserted();

-- Tell what waits in unserved lanes, and tell it to nobody any more whose lane is served. A sweep looks at 1,000
-- requests of a lane, starting at any user, so that the next sweeps look at others.
create function sentinel.tell_waiting() returns void
language plpgsql set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_start uuid := gen_random_uuid();
  v_served text[] := sentinel.served_lanes();
begin
  perform sentinel.tell_unserved(array(
    select w.id from (select u.lane from sentinel.unserved_lanes u order by u.since limit 20) l
     cross join lateral (
       (select r.id from public.analysis_requests r
         where r.status = 'queued' and (r.lane, r.user_id) >= (l.lane, v_start) and r.lane <= l.lane
         order by r.lane, r.user_id limit 500)
       union all
       (select r.id from public.analysis_requests r
         where r.status = 'queued' and r.lane >= l.lane and (r.lane, r.user_id) < (l.lane, v_start)
         order by r.lane, r.user_id limit 500)) w));
  update public.analysis_requests q set error_code = null, error_message = null, error_params = null
   where q.id = any (array(
     with recursive told (lane, n) as (
       (select r.lane, 1 from public.analysis_requests r where r.status = 'queued' and r.error_code = 'no_worker'
         order by r.lane, r.run_at, r.id limit 1)
       union all
       select (select r.lane from public.analysis_requests r
                where r.status = 'queued' and r.error_code = 'no_worker' and r.lane > t.lane
                order by r.lane, r.run_at, r.id limit 1), t.n + 1
         from told t where t.lane is not null and t.n < 500)
     select f.id from (select t.lane from told t where t.lane = any (v_served) limit 20) t
      cross join lateral (
        select r.id from public.analysis_requests r
         where r.status = 'queued' and r.error_code = 'no_worker' and r.lane >= t.lane and r.lane <= t.lane
         order by r.lane, r.run_at, r.id limit 500 for no key update skip locked) f));
end $$;

-- Fail what nobody needs any more: requests that still wait after their answer_by.
create function sentinel.end_late() returns integer
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_late uuid[] := array(
    select r.id from public.analysis_requests r
     where r.answer_by <= clock_timestamp() and r.status in ('queued', 'scheduled')
     order by r.answer_by limit 100 for no key update skip locked);
begin
  if cardinality(v_late) > 0 then
    update public.analysis_requests q set
      status = 'failed', fence = gen_random_uuid(), finished_at = clock_timestamp(), error_code = 'answer_too_late',
      error_message = 'This analysis was not finished by the time for which it was requested.', error_params = null
     where q.id = any (v_late);
  end if;
  return cardinality(v_late);
end $$;

-- Count the attempts that ended since the last count, 20,000 at most. One that is committed more than a second after its
-- end may be missed.
create function sentinel.count_answers() returns void
language plpgsql set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_from timestamptz := greatest(now() - interval '10 minutes', (select max(t.until) from sentinel.throughput t));
begin
  insert into sentinel.throughput as t (lane, worker, since, requests, seconds, until)
  select r.lane, a.worker, date_bin('5 minutes', a.finished_at, '2000-01-01 00:00+00'), count(*),
         sum(least(86400, greatest(0, case when isfinite(a.claimed_at)
                                           then extract(epoch from a.finished_at - a.claimed_at) end))),
         max(a.finished_at)
    from (
      select e.request_id, e.worker, e.claimed_at, e.finished_at from sentinel.attempts e
       where e.finished_at > v_from and e.finished_at < clock_timestamp() - interval '1 s'
         and e.outcome in ('succeeded', 'failed', 'retry', 'snoozed', 'cancelled') and e.worker is not null
       order by e.finished_at limit 20000) a
    join public.analysis_requests r on r.id = a.request_id
   group by 1, 2, 3
  on conflict on constraint throughput_pkey do update
     set requests = least(1000000, t.requests + excluded.requests),
         seconds = least(1e9, t.seconds + excluded.seconds), until = greatest(t.until, excluded.until);
  delete from sentinel.throughput t where t.since < now() - interval '1 hour';
end $$;

-- Requests that a lane's workers answer in a second, together; null without a recent rate. Each of a worker's last three
-- buckets with answers counts for the time that the worker was busy at most: the whole of it, or the time that its
-- requests took, whichever is less. A worker that has just started counts like the others of its lane.
create function sentinel.rate_of(p_lane text) returns double precision
language sql stable set search_path = '' set enable_seqscan = off as $$
  select avg(s.requests / s.busy) * nullif((
           select count(*) from sentinel.workers w
            where w.last_seen > (select sentinel.alive_since()) and not w.draining and w.lanes @> array[p_lane]), 0)
    from (
      select sum(b.requests) as requests,
             least(sum(b.seconds), sum(b.passed) + sum(b.seconds) / nullif(sum(b.requests), 0)) as busy
        from (
          select t.worker, t.requests, t.seconds, least(300, greatest(0, extract(epoch from t.until - t.since))) as passed,
                 row_number() over (partition by t.worker order by t.since desc) as n
            from sentinel.throughput t where t.lane = p_lane and t.since > now() - interval '1 hour') b
       where b.n <= 3 group by b.worker) s
   where s.requests >= 3 and s.busy > 0
$$;

-- The place of a queued request in its lane, by the rule that users take turns: it is its owner's k-th, and others have
-- at most k each before it. `likely` is how many go first on average: of the others' k-th, half. Requests with priority
-- take at most every second place. Nothing is counted beyond 1,000.
create function sentinel.place_of(r public.analysis_requests, out place integer, out likely double precision)
language plpgsql stable set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_own integer := array_position(array(
    select q.id from public.analysis_requests q
     where q.status = 'queued' and (q.lane, q.user_id) >= (r.lane, r.user_id) and (q.lane, q.user_id) <= (r.lane, r.user_id)
     order by q.lane, q.user_id, q.priority desc, q.run_at, q.id limit 1000), r.id);
  v_urgent integer := (
    select count(*) from (
      select q.user_id from public.analysis_requests q
       where q.status = 'queued' and q.priority > 0 and q.lane >= r.lane
         and (q.lane, -q.priority) < (r.lane, -greatest(r.priority, 0)) order by q.lane, -q.priority limit 1000) u
     where u.user_id <> r.user_id);
begin
  if v_own is null then
    place := 1001;
    likely := 1000;
    return;
  end if;
  with recursive turn (user_id, most, by_turns, before, before_by_turns) as (
    select (select q.user_id from public.analysis_requests q where q.status = 'queued' and q.lane >= r.lane
              and q.lane <= r.lane order by q.lane, q.user_id limit 1), v_own, v_own, v_own - 1.0, v_own - 1.0
    union all
    select (select q.user_id from public.analysis_requests q
             where q.status = 'queued' and (q.lane, q.user_id) > (r.lane, t.user_id) and q.lane <= r.lane
             order by q.lane, q.user_id limit 1),
           t.most + least(w.n, v_own + w.urgent), t.by_turns + least(w.n, v_own),
           t.before + least(w.n, v_own - 0.5 + w.urgent), t.before_by_turns + least(w.n - 0.5, v_own - 0.5)
      from turn t cross join lateral (
        select count(*)::integer as n, (count(*) filter (where m.priority > greatest(r.priority, 0)))::integer as urgent
          from (
            select q.priority from public.analysis_requests q
             where t.user_id <> r.user_id and q.status = 'queued' and (q.lane, q.user_id) >= (r.lane, t.user_id)
               and (q.lane, q.user_id) <= (r.lane, t.user_id)
             order by q.lane, q.user_id, q.priority desc, q.run_at, q.id limit v_own + v_urgent) m) w
     where t.user_id is not null and t.most <= 1000)
  select least(max(t.most), 2 * max(t.by_turns)), least(max(t.before), 2 * max(t.before_by_turns) + 1)
    into place, likely from turn t;
  if r.priority > 0 then
    place := least(place, 2 * (v_urgent + v_own));
    likely := least(likely, 2 * (v_urgent + v_own) - 1);
  end if;
  place := least(place, 1001);
end $$;

create function public.analysis_wait(id uuid)
returns table (reason text, "position" integer, position_at_least boolean, estimated_seconds double precision)
language plpgsql stable security definer set search_path = '' set jit = off set enable_seqscan = off as $$
declare
  r public.analysis_requests;
  v_most bigint := sentinel.quota('max_running_requests');
  v_likely double precision;
begin
  select q.* into r from public.analysis_requests q where q.id = analysis_wait.id and q.user_id = (select auth.uid());
  reason := case
    when r.id is null then 'not_found'
    when r.status in ('succeeded', 'failed', 'cancelled') then 'finished'
    when r.status in ('running', 'scheduled') then r.status
    when (sentinel.pause_of(r.lane, r.user_id)).id is not null then 'paused'
    when r.lane <> all (sentinel.served_lanes()) then 'no_worker'
    when v_most is not null and v_most <= (
      select count(*) from (
        select from public.analysis_requests q
         where q.status = 'running' and q.user_id >= r.user_id and q.user_id <= r.user_id
         order by q.user_id, q.id limit least(v_most, 1000000)) w) then 'own_limit'
    else 'turn' end;
  if r.status = 'queued' then
    select p.place, p.likely into "position", v_likely from sentinel.place_of(r) p;
    position_at_least := "position" > 1000;
    "position" := least("position", 1000);
  end if;
  if reason = 'turn' then
    estimated_seconds := (v_likely + 1) / sentinel.rate_of(r.lane);
  end if;
  return next;
end $$;

revoke all on function public.analysis_wait(uuid) from public, anon, authenticated, service_role;
grant execute on function public.analysis_wait(uuid) to authenticated;
