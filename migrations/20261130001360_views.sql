-- Views of the queue for admins: pages, commands and metrics read the same ones. Each reads what waits, runs, or happened
-- within a day, through an index, however many finished requests there are.

-- Requests that failed, by time; it costs nothing where requests succeed.
create index analysis_requests_failed on public.analysis_requests (finished_at) where status = 'failed';
create index attempts_failed on sentinel.attempts (finished_at) where error_code is not null;

create view sentinel.queue as
select q.lane, q.status, q.requests, q.oldest, extract(epoch from now() - q.oldest)::double precision as oldest_seconds,
       exists (select from sentinel.paused p where p.user_id is null and coalesce(p.lane, q.lane) = q.lane) as paused,
       (select u.since from sentinel.unserved_lanes u where u.lane = q.lane) as unserved_since
  from (
    select r.lane, 'queued' as status, count(*) as requests, min(r.run_at) as oldest
      from public.analysis_requests r where r.status = 'queued' group by r.lane
    union all
    select r.lane, 'scheduled', count(*), min(r.run_at)
      from public.analysis_requests r where r.status = 'scheduled' group by r.lane
    union all
    select r.lane, 'running', count(*), min(r.started_at)
      from public.analysis_requests r where r.status = 'running' group by r.lane) q;

create view sentinel.running as
select r.id as request_id, r.user_id, r.lane, w.name as worker, l.worker as worker_id, r.stage, r.progress,
       extract(epoch from now() - r.started_at)::double precision as seconds, r.attempt, r.crashes, r.cancel_requested,
       l.lease_until
  from public.analysis_requests r
  left join sentinel.leases l on l.request_id = r.id and l.fence = r.fence
  left join sentinel.workers w on w.id = l.worker
 where r.status = 'running';

-- The usual time of a lane is taken from the last thousand successes.
create view sentinel.slow as
select s.*, usual.seconds as usual_seconds
  from sentinel.running s
  left join (
    select r.lane, percentile_cont(0.5) within group (order by extract(epoch from a.finished_at - a.claimed_at))
             as seconds
      from (select h.request_id, h.claimed_at, h.finished_at from sentinel.attempts h
             where h.finished_at > now() - interval '1 day' and h.outcome = 'succeeded'
             order by h.finished_at desc limit 1000) a
      join public.analysis_requests r on r.id = a.request_id
     group by r.lane) usual on usual.lane = s.lane
 where s.seconds > greatest(30, coalesce(3 * usual.seconds, 300));

create view sentinel.poison as
select a.request_id, r.user_id, r.lane, r.status, a.crashes, r.attempt, r.max_attempts, a.stages, a.workers, a.last_crash
  from (
    select h.request_id, count(*) as crashes, array_agg(distinct h.stage) as stages,
           array_agg(distinct coalesce(w.name, h.worker::text)) as workers, max(h.finished_at) as last_crash
      from sentinel.attempts h left join sentinel.workers w on w.id = h.worker
     where h.error_code is not null and h.outcome = 'lease_expired' and h.finished_at > now() - interval '1 day'
     group by h.request_id) a
  join public.analysis_requests r on r.id = a.request_id;

create view sentinel.worker_states as
select w.name, w.id,
       case when w.last_seen <= now() - make_interval(
              secs => (select (s.value #>> '{}')::double precision from sentinel.settings s
                        where s.name = 'worker_alive_seconds')) then 'gone'
            when w.draining then 'draining' else 'alive' end as state,
       w.slots, (select count(*) from sentinel.leases l where l.worker = w.id) as used, w.lanes, w.version, w.started_at,
       w.last_seen, extract(epoch from now() - w.last_seen)::double precision as seen_seconds_ago
  from sentinel.workers w;

create view sentinel.failures as
select r.error_code, count(*) filter (where r.finished_at > now() - interval '1 hour') as last_hour,
       count(*) as last_day, count(distinct r.user_id) as users, max(r.finished_at) as latest
  from public.analysis_requests r where r.status = 'failed' and r.finished_at > now() - interval '1 day'
 group by r.error_code;

create view sentinel.retries as
select a.error_code, count(*) filter (where a.finished_at > now() - interval '1 hour') as last_hour,
       count(*) as last_day, max(a.finished_at) as latest
  from sentinel.attempts a
 where a.error_code is not null and a.answer in ('queued', 'scheduled') and a.finished_at > now() - interval '1 day'
 group by a.error_code;

create view sentinel.pauses as
select p.id, p.lane, p.user_id, p.reason, p.since, p.by, waiting.requests, waiting.oldest
  from sentinel.paused p
 cross join lateral (
   select count(*) as requests, min(r.run_at) as oldest from public.analysis_requests r
    where r.status in ('queued', 'scheduled') and (p.lane is null or r.lane = p.lane)
      and (p.user_id is null or r.user_id = p.user_id)) waiting;

create view sentinel.compute_by_user as
select c.user_id, sum(c.cpu_seconds) as cpu_seconds, sum(c.wall_seconds) as wall_seconds,
       sum(c.requests) as requests, count(distinct c.worker) as workers
  from sentinel.compute c where c.since > now() - interval '1 hour'
 group by c.user_id;

revoke all on
  sentinel.queue, sentinel.running, sentinel.slow, sentinel.poison, sentinel.worker_states, sentinel.failures,
  sentinel.retries, sentinel.pauses, sentinel.compute_by_user
  from public, anon, authenticated, service_role;

-- A role that reads the queue and changes nothing; the project grants it to whom it likes.
do $$ begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'sentinel_admin') then
    create role sentinel_admin nologin inherit;
  end if;
end $$;
grant usage on schema sentinel to sentinel_admin;
grant select on
  sentinel.queue, sentinel.running, sentinel.slow, sentinel.poison, sentinel.worker_states, sentinel.failures,
  sentinel.retries, sentinel.pauses, sentinel.paused, sentinel.settings, sentinel.attempts, sentinel.deletions,
  sentinel.audit, sentinel.compute_by_user
  to sentinel_admin;
