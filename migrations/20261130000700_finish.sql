-- The end of an attempt. Requests, results and history of a whole batch change in one transaction (docs/adr/0019).

-- Full jitter up to 5 s, doubled for each attempt, at most an hour; never less than `at_least` seconds.
create function sentinel.backoff_seconds(attempt integer, at_least double precision) returns double precision
language sql volatile set search_path = '' as $$
  select greatest(coalesce(at_least, 0), random() * least(3600, 5 * 2.0 ^ least(greatest(attempt, 1) - 1, 10)))
$$;

-- A request's status after an outcome: a success stands; otherwise a requested cancellation takes precedence.
create function sentinel.status_after(outcome text, r public.analysis_requests, delay double precision) returns text
language sql immutable set search_path = '' as $$
  select case
    when outcome = 'succeeded' then 'succeeded'
    when outcome = 'cancelled' or r.cancel_requested then 'cancelled'
    when outcome = 'failed' or (outcome = 'retry' and r.attempt >= r.max_attempts) then 'failed'
    when outcome = 'retry' or delay > 0 then 'scheduled'
    else 'queued'
  end
$$;

-- A worker's report of one attempt's end, and the answer to it.
create type sentinel.ending as (id uuid, fence uuid, outcome text, entry jsonb);
create type sentinel.ended as (id uuid, fence uuid, answer text, due_in_seconds double precision);

-- Carry out the endings whose request and lease can be locked, request first; explain() answers the others.
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
  -- `= any (array)` in addition to a join: a plan made while a table was empty must not read all of it later.
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
           sentinel.to_text(d.result -> 'verdict_reason', 64), (d.result ->> 'coverage')::double precision,
           (d.result ->> 'longest_gap_seconds')::double precision,
           coalesce(nullif(d.result -> 'detector', 'null'), '{}'),
           coalesce(nullif(d.result -> 'timeline', 'null'), '[]'),
           nullif(d.result -> 'faces', 'null'), nullif(d.result -> 'frames', 'null'),
           nullif(d.result -> 'audio', 'null'), coalesce(nullif(d.result -> 'media', 'null'), '{}'),
           nullif(d.result -> 'derived', 'null'), coalesce(nullif(d.result -> 'timings', 'null'), '{}'),
           sentinel.to_text(d.result -> 'notice', 500)
      from ended e cross join lateral (select e.entry -> 'result' as result) d where e.answer = 'succeeded'),
  -- An attempt without a result leaves the files that it uploaded. Uploads begin after the stages named here, and a
  -- worker that reports the end knows the stage.
  abandoned as (
    insert into sentinel.deletions (bucket_id, name, user_id, keep_until)
    select 'derived', e.user_id || '/' || e.id || '/' || e.fence || '/', e.user_id, now() + interval '10 minutes'
      from ended e
     where e.answer <> 'succeeded'
       and coalesce(sentinel.to_text(e.entry -> 'stage', 64), e.stage, '') not in ('fetching', 'probing', 'analyzing')),
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

-- The reason why an ending was not carried out: it already was, another replaced it, a lock is held, or it is invalid.
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

create function public.sentinel_finish(args jsonb)
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
    -- An outcome that cannot be stored must not block the others.
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

revoke all on function public.sentinel_finish(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.sentinel_finish(jsonb) to service_role, sentinel_worker;
