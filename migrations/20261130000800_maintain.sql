-- Maintenance: promote due requests, expire leases, fail requests in lanes without workers, and prune old rows. Every
-- worker calls it at its sweep. No leader is elected; of two concurrent calls the second skips the work.
--
-- The rows to change are chosen as `= any (array(select … limit … skip locked))`, which runs the subquery once. A plan
-- for `in (select …)` may run it once for each row of the table, and each run skips the rows already changed and returns
-- others, beyond the limit.

create function sentinel.promote() returns integer
language plpgsql set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_count integer;
begin
  update public.analysis_requests r set status = 'queued', fence = gen_random_uuid()
   where r.id = any (array(
     select s.id from public.analysis_requests s where s.status = 'scheduled' and s.run_at <= now()
      order by s.run_at limit 500 for no key update skip locked));
  get diagnostics v_count = row_count;
  return v_count;
end $$;

-- End one attempt whose worker is gone; the caller holds the request's lock. The attempt counts like any other: if it
-- is the last one, the request fails.
create function sentinel.expire_one(r public.analysis_requests, held sentinel.leases) returns text
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_crashes integer := least(r.crashes + 1, 100);
  v_poison boolean := v_crashes >= sentinel.setting('max_crashes', 3);
  v_status text := case when r.cancel_requested then 'cancelled'
                        when v_poison or r.attempt >= r.max_attempts then 'failed' else 'scheduled' end;
begin
  delete from sentinel.leases l where l.request_id = r.id;
  update public.analysis_requests q set
    status = v_status, fence = gen_random_uuid(), crashes = v_crashes, stage = null, progress = null,
    cancel_requested = false,
    run_at = case when v_status = 'scheduled'
      then clock_timestamp() + make_interval(secs => random() * least(300, 5 * 2.0 ^ least(v_crashes, 10)))
      else q.run_at end,
    error_code = case v_status when 'cancelled' then null else 'worker_lost' end,
    error_message = case
      when v_status = 'failed' and v_poison
        then 'The worker stopped responding during this analysis ' || v_crashes || ' times, so it will not be retried.'
      when v_status = 'failed' then 'The worker stopped responding, and no attempts are left.'
      when v_status = 'scheduled' then 'The worker stopped responding; the analysis will be retried.' end,
    error_params = case v_status when 'cancelled' then null else jsonb_build_object('crashes', v_crashes) end,
    finished_at = case when v_status <> 'scheduled' then clock_timestamp() end
   where q.id = r.id;
  insert into sentinel.attempts (request_id, fence, attempt, worker, claimed_at, outcome, answer, stage, error_code)
  values (r.id, r.fence, r.attempt, held.worker, held.claimed_at, 'lease_expired', v_status, r.stage, 'worker_lost')
  on conflict do nothing;
  -- Its files. A worker stops when its lease ends, so nothing arrives later than an upload in flight. If nobody noticed
  -- the end for an hour, this may be a backup of the database, and the attempt may have succeeded after the backup: then
  -- its files stay as long as the request.
  insert into sentinel.deletions (bucket_id, name, user_id, keep_until)
  select 'derived', r.user_id || '/' || r.id || '/' || r.fence || '/', r.user_id, ended.at + interval '10 minutes'
    from (select coalesce(held.lease_until, now()) as at) ended where ended.at > now() - interval '1 hour';
  return v_status;
end $$;

-- End attempts whose lease has expired, or was deleted by hand.
create function sentinel.expire(out expired integer, out poisoned integer)
language plpgsql set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_id uuid;
  r public.analysis_requests;
  held sentinel.leases;
begin
  expired := 0;
  poisoned := 0;
  for v_id in
    select q.id from public.analysis_requests q left join sentinel.leases l on l.request_id = q.id and l.fence = q.fence
     where q.status = 'running' and (l.request_id is null or l.lease_until < clock_timestamp())
     order by q.id limit 100
  loop
    -- Each query is a new statement, and sees changes committed since the list was made.
    select q.* into r from public.analysis_requests q
     where q.id = v_id and q.status = 'running' for no key update skip locked;
    continue when not found;
    select l.* into held from sentinel.leases l where l.request_id = v_id for update skip locked;
    if found then
      continue when held.fence = r.fence and held.lease_until >= clock_timestamp();
    else
      continue when exists (select from sentinel.leases l where l.request_id = v_id);
    end if;
    expired := expired + 1;
    if sentinel.expire_one(r, held) = 'failed' then
      poisoned := poisoned + 1;
    end if;
  end loop;
end $$;

-- Fail requests that have waited too long in a lane that no live worker has offered for just as long.
create function sentinel.fail_unserved() returns integer
language plpgsql set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_grace interval := make_interval(secs => sentinel.setting('lane_grace_seconds', 900));
  v_count integer;
begin
  -- The distinct lanes of the queue, with one index lookup for each.
  with recursive waiting (lane, n) as (
    (select r.lane, 1 from public.analysis_requests r where r.status = 'queued' order by r.lane limit 1)
    union all
    select (select r.lane from public.analysis_requests r where r.status = 'queued' and r.lane > w.lane
             order by r.lane limit 1), w.n + 1
      from waiting w where w.lane is not null and w.n < 500),
  served as materialized (
    select k.lane from unnest(sentinel.served_lanes()) as k (lane)
    union
    -- A pause is no reason to fail.
    select w.lane from waiting w where w.lane is not null and (sentinel.pause_of(w.lane, null)).id is not null),
  again as (
    delete from sentinel.unserved_lanes u using served s where u.lane = s.lane)
  -- A lane's clock starts when a worker's sweep first finds it unserved: after a full outage, workers that return one
  -- after the other must not fail each other's requests.
  insert into sentinel.unserved_lanes (lane)
  select w.lane from waiting w where w.lane is not null and not exists (select from served s where s.lane = w.lane)
  on conflict do nothing;
  update public.analysis_requests q set
    status = 'failed', fence = gen_random_uuid(), finished_at = clock_timestamp(), error_code = 'detector_unavailable',
    error_message = 'No worker offers the detector that this analysis requests.',
    error_params = jsonb_build_object('detector', q.detector, 'media_kind', q.media_kind)
   where q.id = any (array(
     select r.id from sentinel.unserved_lanes u
      cross join lateral (
        select s.id from public.analysis_requests s
         where s.status = 'queued' and s.lane = u.lane and s.run_at < now() - v_grace
         limit 100 for no key update skip locked) r
      where u.since < now() - v_grace limit 500));
  get diagnostics v_count = row_count;
  delete from sentinel.unserved_lanes u where not exists (
    select from public.analysis_requests r where r.status = 'queued' and r.lane = u.lane);
  delete from sentinel.workers w where w.last_seen < now() - interval '1 day';
  return v_count;
end $$;

-- The time before which rows are no longer kept; null: they are kept for ever. The minimum is a day, because a repeated
-- finish is answered from the history.
create function sentinel.kept_since(name text) returns timestamptz
language sql stable set search_path = '' as $$
  select now() - make_interval(secs => 86400 * sentinel.to_number(s.value, 1, 36500))
    from sentinel.settings s where s.name = kept_since.name
$$;

-- Retention: delete rows that are no longer kept, oldest first, a limited number per call, and add their files to the
-- outbox, as every deletion does.
create function sentinel.prune() returns integer
language plpgsql set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_limit integer := sentinel.setting('prune_rows', 500);
  v_requests timestamptz := sentinel.kept_since('keep_requests_days');
  v_results timestamptz := sentinel.kept_since('keep_superseded_results_days');
  v_attempts timestamptz := sentinel.kept_since('keep_attempts_days');
  v_count integer;
  v_all integer := 0;
begin
  if v_requests is not null then
    delete from public.analysis_requests r where r.id = any (array(
      select o.id from public.analysis_requests o where o.finished_at < v_requests
       order by o.finished_at limit v_limit for update skip locked));
    get diagnostics v_count = row_count;
    v_all := v_all + v_count;
  end if;
  if v_results is not null then
    with gone as (
      delete from public.analysis_results e where e.id = any (array(
        select o.id from public.analysis_results o where o.superseded_at < v_results
         order by o.superseded_at limit v_limit for update skip locked))
      returning e.user_id, e.request_id, e.fence)
    insert into sentinel.deletions (bucket_id, name, user_id, keep_until)
    select 'derived', g.user_id || '/' || g.request_id || '/' || g.fence || '/', g.user_id, now() from gone g;
    get diagnostics v_count = row_count;
    v_all := v_all + v_count;
  end if;
  if v_attempts is not null then
    -- By ctid, because no index is searched for an array of pairs. The rows are locked, so their ctids do not change.
    delete from sentinel.attempts a where a.ctid = any (array(
      select o.ctid from sentinel.attempts o where o.finished_at < v_attempts
       order by o.finished_at limit v_limit for update skip locked));
    get diagnostics v_count = row_count;
    v_all := v_all + v_count;
  end if;
  return v_all;
end $$;

create function sentinel.sweep(
  out promoted integer, out expired integer, out poisoned integer, out unserved integer)
language plpgsql set search_path = '' as $$
begin
  promoted := 0;
  expired := 0;
  poisoned := 0;
  unserved := 0;
  if pg_try_advisory_xact_lock(hashtextextended('sentinel.sweep', 0)) then
    perform sentinel.end_late();
    promoted := sentinel.promote();
    select e.expired, e.poisoned into expired, poisoned from sentinel.expire() e;
    unserved := sentinel.fail_unserved();
    perform sentinel.tell_waiting();
    delete from sentinel.usage u where u.at < now() - interval '1 hour';
    delete from sentinel.compute c where c.since < now() - interval '1 hour';
    delete from sentinel.turns t where t.seen_at < now() - interval '1 day';
    perform sentinel.count_answers();
    perform sentinel.prune();
  end if;
end $$;

-- Seconds until the next scheduled request, answer_by, lease or grace of an unserved lane is due; null without any. A
-- grace that has passed is no reason for an early sweep: later requests of the lane are still within theirs.
create function sentinel.next_due_seconds() returns double precision
language sql volatile set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
  select case when due.at is not null then greatest(0, extract(epoch from due.at - clock_timestamp())) end
    from (select least(
      (select min(r.run_at) from public.analysis_requests r where r.status = 'scheduled'),
      (select min(r.answer_by) from public.analysis_requests r
        where r.answer_by is not null and r.status in ('queued', 'scheduled')),
      (select min(u.ends) from (
         select u.since + make_interval(secs => sentinel.setting('lane_grace_seconds', 900)) as ends
           from sentinel.unserved_lanes u) u where u.ends > clock_timestamp()),
      (select min(l.lease_until) from sentinel.leases l)) as at) due
$$;

create function public.sentinel_maintain(args jsonb)
returns table (
  promoted integer, expired integer, poisoned integer, unserved integer, next_due_seconds double precision,
  removals_due boolean, drain boolean)
language plpgsql volatile security definer
set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
  v_worker uuid := sentinel.worker_of(args);
  v_drain boolean;
begin
  if args -> 'stopping' = 'true' then
    delete from sentinel.workers w where w.id = v_worker;
    return query select 0, 0, 0, 0, null::double precision, false, true;
    return;
  end if;
  insert into sentinel.workers as w (id, name, version, lanes, slots)
  values (
    v_worker,
    coalesce(sentinel.to_text(args -> 'name', 200), ''),
    coalesce(sentinel.to_text(args -> 'version', 64), ''),
    array(select distinct e #>> '{}' from sentinel.elements(args, 'lanes') e),
    coalesce(sentinel.to_number(args -> 'slots', 0, 100000), 0))
  on conflict (id) do update
     set name = excluded.name, version = excluded.version, lanes = excluded.lanes, slots = excluded.slots,
         last_seen = excluded.last_seen
  returning w.draining into v_drain;
  perform set_config('sentinel.moving', 'on', true);
  return query
    select s.promoted, s.expired, s.poisoned, s.unserved, sentinel.next_due_seconds(),
           exists (select from sentinel.deletions d where d.due_at <= now()), v_drain
      from sentinel.sweep() s;
  perform set_config('sentinel.moving', '', true);
end $$;

revoke all on function public.sentinel_maintain(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.sentinel_maintain(jsonb) to service_role, sentinel_worker;
