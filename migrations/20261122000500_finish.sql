-- How an attempt ends. The request, its result and its history change in one transaction.

-- Full jitter below 5 s doubled for each attempt, an hour at most; never before `at_least` seconds.
create function sentinel.backoff_seconds(attempt integer, at_least double precision) returns double precision
language sql volatile set search_path = '' as $$
  select greatest(coalesce(at_least, 0), random() * least(3600, 5 * 2.0 ^ least(greatest(attempt, 1) - 1, 10)))
$$;

-- A request's status after an outcome: a success stands, a wish to cancel goes before everything else.
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

create function sentinel.store_result(r public.analysis_requests, p_worker uuid, p_fence uuid, result jsonb) returns void
language plpgsql set search_path = '' as $$
begin
  if octet_length(result::text) > 1048576 then
    raise exception 'the result is larger than 1 MiB' using errcode = 'program_limit_exceeded';
  end if;
  update public.analysis_results e set is_current = false, superseded_at = now()
   where e.request_id = r.id and e.is_current;
  insert into public.analysis_results (
    request_id, user_id, fence, attempt, worker, verdict, fake_probability, threshold, detector, timeline, faces,
    audio, media, derived, timings, notice)
  values (
    r.id, r.user_id, p_fence, r.attempt, p_worker, result ->> 'verdict',
    (result ->> 'fake_probability')::double precision, (result ->> 'threshold')::double precision,
    coalesce(nullif(result -> 'detector', 'null'), '{}'), coalesce(nullif(result -> 'timeline', 'null'), '[]'),
    nullif(result -> 'faces', 'null'), nullif(result -> 'audio', 'null'),
    coalesce(nullif(result -> 'media', 'null'), '{}'), nullif(result -> 'derived', 'null'),
    coalesce(nullif(result -> 'timings', 'null'), '{}'), sentinel.to_text(result -> 'notice', 500));
end $$;

-- Carry out one outcome on a request whose lock, fence and lease the caller holds; answers status and delay.
create function sentinel.conclude(
  r public.analysis_requests, held sentinel.leases, entry jsonb, out answer text, out due_in_seconds double precision)
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_outcome text := entry ->> 'outcome';
  v_delay double precision := sentinel.to_number(entry -> 'delay_seconds', 0, 86400);
  v_code text := sentinel.to_text(entry -> 'error_code', 64);
  v_params jsonb := entry -> 'error_params';
  v_failed boolean;
begin
  if v_outcome is null or v_outcome not in ('succeeded', 'failed', 'retry', 'snoozed', 'released', 'cancelled') then
    answer := 'invalid';
    return;
  end if;
  answer := sentinel.status_after(v_outcome, r, v_delay);
  due_in_seconds := case
    when answer = 'queued' then 0
    when answer = 'scheduled' and v_outcome = 'retry' then sentinel.backoff_seconds(r.attempt, v_delay)
    when answer = 'scheduled' then v_delay end;
  v_failed := answer in ('failed', 'scheduled', 'queued');
  v_code := case when v_code ~ '^[a-z0-9_]+$' then v_code when answer = 'failed' or v_code is not null then 'unknown_error' end;
  v_params := case when jsonb_typeof(v_params) = 'object' and octet_length(v_params::text) <= 4096 then v_params end;
  delete from sentinel.leases l where l.request_id = r.id;
  update public.analysis_requests q set
    status = answer, fence = gen_random_uuid(), stage = null, cancel_requested = false,
    progress = case when answer = 'succeeded' then 100 end,
    attempt = case when v_outcome in ('snoozed', 'released') and answer <> 'cancelled'
                   then greatest(q.attempt - 1, 0) else q.attempt end,
    -- A request that is handed back at once keeps its place in the queue.
    run_at = case when answer = 'scheduled' then clock_timestamp() + make_interval(secs => due_in_seconds) else q.run_at end,
    verdict = case when answer = 'succeeded' then entry -> 'result' ->> 'verdict' end,
    fake_probability = case when answer = 'succeeded'
                            then (entry -> 'result' ->> 'fake_probability')::double precision end,
    error_code = case when v_failed then coalesce(v_code, q.error_code) end,
    error_message = case when not v_failed then null when v_code is null then q.error_message
                         else sentinel.to_text(entry -> 'error_message', 500) end,
    error_params = case when not v_failed then null when v_code is null then q.error_params else v_params end,
    finished_at = case when answer in ('succeeded', 'failed', 'cancelled') then clock_timestamp() end
   where q.id = r.id;
  if answer = 'succeeded' then
    perform sentinel.store_result(r, held.worker, r.fence, entry -> 'result');
  end if;
  insert into sentinel.attempts (
    request_id, fence, attempt, worker, claimed_at, outcome, answer, stage, error_code, error)
  values (r.id, r.fence, r.attempt, held.worker, held.claimed_at, v_outcome, answer,
          coalesce(sentinel.to_text(entry -> 'stage', 64), r.stage), v_code,
          case when octet_length((entry -> 'error_detail')::text) <= 65536
               then nullif(nullif(entry -> 'error_detail', 'null'), '{}') end)
  on conflict do nothing;
end $$;

-- Find the request of one entry and take its locks, request first; what cannot be locked at once is busy.
create function sentinel.finish_one(
  p_worker uuid, p_id uuid, p_fence uuid, entry jsonb, out answer text, out due_in_seconds double precision)
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  r public.analysis_requests;
  held sentinel.leases;
begin
  if p_id is null or p_fence is null then
    answer := 'invalid';
    return;
  end if;
  select q.* into r from public.analysis_requests q where q.id = p_id for no key update skip locked;
  if not found then
    answer := case when exists (select from public.analysis_requests q where q.id = p_id) then 'busy' else 'lost' end;
    return;
  end if;
  if r.status <> 'running' or r.fence <> p_fence then
    select a.answer into answer from sentinel.attempts a
     where a.request_id = p_id and a.fence = p_fence and a.worker = p_worker
       and a.outcome not in ('lease_expired', 'moved_by_hand');
    answer := coalesce(answer, 'lost');
    due_in_seconds := case when answer = r.status and answer in ('queued', 'scheduled')
      then greatest(0, extract(epoch from r.run_at - clock_timestamp())) end;
    return;
  end if;
  select l.* into held from sentinel.leases l
   where l.request_id = p_id and l.fence = p_fence and l.worker = p_worker for update skip locked;
  if found then
    select c.answer, c.due_in_seconds into answer, due_in_seconds from sentinel.conclude(r, held, entry) c;
  else
    answer := case when exists (select from sentinel.leases l where l.request_id = p_id and l.fence = p_fence
                                   and l.worker = p_worker) then 'busy' else 'lost' end;
  end if;
end $$;

create function public.sentinel_finish(args jsonb)
returns table (id uuid, answer text, due_in_seconds double precision)
language plpgsql volatile security definer
set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_worker uuid := sentinel.worker_of(args);
  entry jsonb;
begin
  perform set_config('sentinel.moving', 'on', true);
  for entry in select e from sentinel.elements(args, 'outcomes') e order by e ->> 'id' loop
    id := sentinel.to_uuid(entry -> 'id');
    begin
      select f.answer, f.due_in_seconds into answer, due_in_seconds
        from sentinel.finish_one(v_worker, id, sentinel.to_uuid(entry -> 'fence'), entry) f;
    exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
      raise log 'sentinel_finish refused the outcome of %: % %', id, sqlstate, sqlerrm;
      answer := 'invalid';
      due_in_seconds := null;
    end;
    return next;
  end loop;
  perform set_config('sentinel.moving', '', true);
end $$;
comment on function public.sentinel_finish is
  'args {worker, outcomes: [{id, fence, outcome, ...}]}: end attempts; answers the new status, or lost, busy, invalid.';
