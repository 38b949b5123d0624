-- The end of an attempt. Requests, results and history of a whole batch change in one transaction (docs/adr/0019).

-- Full jitter up to 5 s, doubled for each attempt, at most an hour; never less than `at_least` seconds.
create function sentinel.backoff_seconds(attempt integer, at_least double precision) returns double precision
language sql volatile set search_path = '' as $$
  select greatest(coalesce(at_least, 0), random() * least(3600, 5 * 2.0 ^ least(greatest(attempt, 1) - 1, 10)))
$$;

-- A worker's report of one attempt's end, and the answer to it. The outcome is null if the report is invalid.
create type sentinel.ending as (
  id uuid, fence uuid, outcome text, stage text, code text, delay double precision, cpu_seconds double precision,
  wall_seconds double precision, entry jsonb);
create type sentinel.ended as (
  id uuid, fence uuid, answer text, due_in_seconds double precision, user_id uuid, stage text);

-- Carry out the endings whose request and lease can be locked, request first; explain() answers the others.
create function sentinel.end_attempts(p_worker uuid, p_endings sentinel.ending[]) returns sentinel.ended[]
language plpgsql set search_path = '' as $$
declare
  -- `= any (array)` in addition to a join: a plan made while a table was empty must not read all of it later.
  v_asked uuid[] := array(select i.id from unnest(p_endings) i);
  v_running uuid[] := array(
    select q.id from unnest(p_endings) i join public.analysis_requests q on q.id = i.id and q.fence = i.fence
     where q.id = any (v_asked) and q.status = 'running'
     order by q.id for no key update of q skip locked);
  v_held uuid[] := array(
    select l.request_id from unnest(p_endings) i join sentinel.leases l on l.request_id = i.id and l.fence = i.fence
     where l.request_id = any (v_running) and l.worker = p_worker
       for update of l skip locked);
  v_alone boolean := pg_try_advisory_xact_lock(hashtextextended('sentinel.compute ' || p_worker, 0));
  v_ended sentinel.ended[];
  v_without_result integer;
begin
  if cardinality(v_held) = 0 then
    return '{}';
  end if;
  with freed as (
    delete from sentinel.leases l where l.request_id = any (v_held) returning l.request_id, l.fence, l.claimed_at),
  -- A success stands; otherwise a requested cancellation takes precedence.
  answered as materialized (
    select q.id, q.fence, q.user_id, q.attempt, coalesce(i.stage, q.stage) as stage, i.outcome, i.entry, i.code,
           i.delay, i.cpu_seconds, i.wall_seconds, f.claimed_at,
           case when i.outcome = 'succeeded' then 'succeeded'
                when i.outcome = 'cancelled' or q.cancel_requested then 'cancelled'
                when i.outcome = 'failed' or (i.outcome = 'retry' and q.attempt >= q.max_attempts) then 'failed'
                when i.outcome = 'retry' or i.delay > 0 then 'scheduled'
                else 'queued' end as answer
      from freed f join unnest(p_endings) i on i.id = f.request_id and i.fence = f.fence
      join public.analysis_requests q on q.id = f.request_id),
  ended as materialized (
    select a.id, a.fence, a.user_id, a.attempt, a.stage, a.outcome, a.entry, a.cpu_seconds, a.wall_seconds,
           a.claimed_at, a.answer, a.answer in ('failed', 'scheduled', 'queued') as unfinished,
           case when a.code ~ '^[a-z0-9_]+$' then a.code
                when a.answer = 'failed' or a.code is not null then 'unknown_error' end as code,
           case when a.answer = 'queued' then 0
                when a.answer = 'scheduled' and a.outcome = 'retry' then sentinel.backoff_seconds(a.attempt, a.delay)
                when a.answer = 'scheduled' then a.delay end as due_in_seconds
      from answered a),
  moved as (
    update public.analysis_requests q set
      status = e.answer, fence = gen_random_uuid(), stage = null, cancel_requested = false,
      progress = case when e.answer = 'succeeded' then 100 end,
      attempt = case when e.outcome in ('snoozed', 'released') and e.answer <> 'cancelled'
                     then greatest(q.attempt - 1, 0) else q.attempt end,
      -- A request that is released without a delay keeps its place in the queue.
      run_at = case when e.answer = 'scheduled'
                    then clock_timestamp() + make_interval(secs => e.due_in_seconds) else q.run_at end,
      verdict = case when e.answer = 'succeeded' then e.entry -> 'result' ->> 'verdict' end,
      fake_probability = case when e.answer = 'succeeded'
                              then (e.entry -> 'result' ->> 'fake_probability')::double precision end,
      coverage = case when e.answer = 'succeeded' then (e.entry -> 'result' ->> 'coverage')::double precision end,
      longest_gap_seconds = case when e.answer = 'succeeded'
                                 then (e.entry -> 'result' ->> 'longest_gap_seconds')::double precision end,
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
      request_id, user_id, fence, attempt, worker, verdict, fake_probability, threshold, verdict_reason, coverage,
      longest_gap_seconds, detector, timeline, faces, frames, audio, media, derived, timings, notice)
    select e.id, e.user_id, e.fence, e.attempt, p_worker, d.result ->> 'verdict',
           (d.result ->> 'fake_probability')::double precision, (d.result ->> 'threshold')::double precision,
           case when jsonb_typeof(d.result -> 'verdict_reason') = 'string'
                then left(d.result ->> 'verdict_reason', 64) end, (d.result ->> 'coverage')::double precision,
           (d.result ->> 'longest_gap_seconds')::double precision,
           coalesce(nullif(d.result -> 'detector', 'null'), '{}'),
           coalesce(nullif(d.result -> 'timeline', 'null'), '[]'),
           nullif(d.result -> 'faces', 'null'), nullif(d.result -> 'frames', 'null'),
           nullif(d.result -> 'audio', 'null'), coalesce(nullif(d.result -> 'media', 'null'), '{}'),
           nullif(d.result -> 'derived', 'null'), coalesce(nullif(d.result -> 'timings', 'null'), '{}'),
           case when jsonb_typeof(d.result -> 'notice') = 'string' then left(d.result ->> 'notice', 500) end
      from ended e cross join lateral (select e.entry -> 'result' as result) d where e.answer = 'succeeded'),
  -- What the attempts used, however they ended. A row takes five minutes of one user and worker. No other session
  -- writes it: a second finish of this worker at the same moment begins rows of its own, and nobody waits.
  used as materialized (
    select e.user_id, sum(coalesce(e.cpu_seconds, 0)) as cpu_seconds, sum(coalesce(e.wall_seconds, 0)) as wall_seconds,
           count(*)::integer as requests
      from ended e where jsonb_typeof(e.entry -> 'compute') = 'object' group by e.user_id),
  added as (
    update sentinel.compute c
       set cpu_seconds = c.cpu_seconds + u.cpu_seconds, wall_seconds = c.wall_seconds + u.wall_seconds,
           requests = c.requests + u.requests
      from used u
     where v_alone and c.user_id = u.user_id and c.worker = p_worker and c.since = (
       select max(m.since) from sentinel.compute m
        where m.user_id = u.user_id and m.worker = p_worker and m.since > now() - interval '5 minutes')
    returning c.user_id),
  begun as (
    insert into sentinel.compute (user_id, worker, since, cpu_seconds, wall_seconds, requests)
    select u.user_id, p_worker, clock_timestamp(), u.cpu_seconds, u.wall_seconds, u.requests
      from used u where not exists (select from added a where a.user_id = u.user_id)),
  remembered as (
    insert into sentinel.attempts (
      request_id, fence, attempt, worker, claimed_at, outcome, answer, stage, error_code, error)
    select e.id, e.fence, e.attempt, p_worker, e.claimed_at, e.outcome, e.answer,
           e.stage, e.code,
           case when octet_length((e.entry -> 'error_detail')::text) <= 65536
                then nullif(nullif(e.entry -> 'error_detail', 'null'), '{}') end
      from ended e)
  select coalesce(array_agg((e.id, e.fence, e.answer, e.due_in_seconds, e.user_id, e.stage)::sentinel.ended), '{}'),
         count(*) filter (where e.answer <> 'succeeded')
    into v_ended, v_without_result from ended e;
  if v_without_result > 0 then
    -- An attempt without a result leaves the files that it uploaded. Uploads begin after the stages named here, and a
    -- worker that reports the end knows the stage.
    insert into sentinel.deletions (bucket_id, name, user_id, keep_until)
    select 'derived', e.user_id || '/' || e.id || '/' || e.fence || '/', e.user_id, now() + interval '10 minutes'
      from unnest(v_ended) e
     where e.answer <> 'succeeded' and coalesce(e.stage, '') not in ('fetching', 'probing', 'analyzing');
  end if;
  return v_ended;
end $$;

-- The reason why an ending was not carried out: it already was, another replaced it, a lock is held, or it is invalid.
create function sentinel.explain(
  p_worker uuid, p_id uuid, p_fence uuid, p_valid boolean, out answer text, out due_in_seconds double precision)
language plpgsql set search_path = '' as $$
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

create function public.sentinel_finish(args jsonb)
returns table (id uuid, answer text, due_in_seconds double precision)
language plpgsql volatile security definer
set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
  v_worker uuid := sentinel.worker_of(args);
  v_uuid constant text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
  -- A day at most for each number: a delay, and what one attempt can have used.
  v_endings sentinel.ending[] := array(
    select (case when e ->> 'id' ~* v_uuid then (e ->> 'id')::uuid end,
            case when e ->> 'fence' ~* v_uuid then (e ->> 'fence')::uuid end,
            case when e ->> 'outcome' in ('succeeded', 'failed', 'retry', 'snoozed', 'released', 'cancelled')
                  and octet_length((e -> 'result')::text) <= 1048576 is not false
                 then e ->> 'outcome' end,
            case when jsonb_typeof(e -> 'stage') = 'string' then left(e ->> 'stage', 64) end,
            case when jsonb_typeof(e -> 'error_code') = 'string' then left(e ->> 'error_code', 64) end,
            case when jsonb_typeof(e -> 'delay_seconds') = 'number'
                 then greatest(0, least(86400, (e ->> 'delay_seconds')::numeric)) end,
            case when jsonb_typeof(e -> 'compute' -> 'cpu_seconds') = 'number'
                 then greatest(0, least(86400, (e -> 'compute' ->> 'cpu_seconds')::numeric)) end,
            case when jsonb_typeof(e -> 'compute' -> 'wall_seconds') = 'number'
                 then greatest(0, least(86400, (e -> 'compute' ->> 'wall_seconds')::numeric)) end,
            e)::sentinel.ending
      from sentinel.elements(args, 'outcomes') e);
  v_valid sentinel.ending[] := array(
    select distinct on (i.id, i.fence) i from unnest(v_endings) i
     where i.outcome is not null and i.id is not null order by i.id, i.fence);
  v_ending sentinel.ending;
  v_ended sentinel.ended[] := '{}';
  v_moving text;  -- assigned, because PERFORM would run a query
begin
  v_moving := set_config('sentinel.moving', 'on', true);
  begin
    v_ended := sentinel.end_attempts(v_worker, v_valid);
  exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
    -- An outcome that cannot be stored must not block the others.
    foreach v_ending in array v_valid loop
      begin
        -- Rows that only a change behind the queue's back can leave, and that must not make a request unfinishable.
        update public.analysis_results e set is_current = false, superseded_at = clock_timestamp()
         where e.request_id = v_ending.id and e.is_current and v_ending.outcome = 'succeeded'
           and exists (select from public.analysis_requests q
                        where q.id = v_ending.id and q.fence = v_ending.fence and q.status = 'running');
        v_ended := v_ended || sentinel.end_attempts(v_worker, array[v_ending]);
      exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
        raise log 'sentinel_finish refused the outcome of %: % %', v_ending.id, sqlstate, sqlerrm;
        v_ended := v_ended || (v_ending.id, v_ending.fence, 'invalid', null, null, null)::sentinel.ended;
      end;
    end loop;
  end;
  v_moving := set_config('sentinel.moving', '', true);
  if cardinality(v_ended) = cardinality(v_endings) then
    return query select d.id, d.answer, d.due_in_seconds from unnest(v_ended) d order by 1;
    return;
  end if;
  return query
  select i.id, d.answer, d.due_in_seconds
    from unnest(v_endings) i join unnest(v_ended) d on d.id = i.id and d.fence = i.fence
  union all
  select i.id, x.answer, x.due_in_seconds
    from unnest(v_endings) i cross join lateral sentinel.explain(v_worker, i.id, i.fence, i.outcome is not null) x
   where not exists (select from unnest(v_ended) d where d.id = i.id and d.fence = i.fence)
   order by 1;
end $$;

revoke all on function public.sentinel_finish(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.sentinel_finish(jsonb) to service_role, sentinel_worker;
