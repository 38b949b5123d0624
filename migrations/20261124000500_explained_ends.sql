-- Two ends that a request's history did not explain; both were found by tests/integration/database/test_state_machine.py.

-- A lease that ran out is an attempt like any other: the last one ends the request. Without this a request whose
-- workers died was claimed above max_attempts, up to the limit of crashes.

create or replace function sentinel.expire_one(r public.analysis_requests, held sentinel.leases) returns text
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_crashes integer := r.crashes + 1;
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
        then 'The analysis stopped its worker ' || v_crashes || ' times and was given up.'
      when v_status = 'failed' then 'The worker stopped answering, and no attempt is left.'
      when v_status = 'scheduled' then 'The worker stopped answering; the analysis starts again.' end,
    error_params = case v_status when 'cancelled' then null else jsonb_build_object('crashes', v_crashes) end,
    finished_at = case when v_status <> 'scheduled' then clock_timestamp() end
   where q.id = r.id;
  insert into sentinel.attempts (request_id, fence, attempt, worker, claimed_at, outcome, answer, stage, error_code)
  values (r.id, r.fence, r.attempt, held.worker, held.claimed_at, 'lease_expired', v_status, r.stage, 'worker_lost')
  on conflict do nothing;
  return v_status;
end $$;

-- A request that an admin fails kept the error of its last attempt, and with it "the analysis starts again".
create or replace function sentinel.move() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  asked boolean := new.status is distinct from old.status;
  waiting boolean := new.status in ('queued', 'scheduled');
  postponed boolean := new.run_at is distinct from old.run_at;
begin
  if new.fence <> old.fence and current_setting('sentinel.moving', true) = 'on' then
    return new;
  end if;
  new.fence := old.fence;
  if not asked and not (waiting and postponed) then
    return new;
  end if;
  if new.status in ('running', 'succeeded') then
    raise exception 'status ''%'' is set only by a worker; to run a request again set its status to ''queued''',
      new.status using errcode = 'PT409';
  end if;
  if waiting then
    new.run_at := greatest(case when postponed or new.status = 'scheduled' then new.run_at end, now());
    new.status := case when new.run_at > now() then 'scheduled' else 'queued' end;
  end if;
  new.fence := gen_random_uuid();
  if not asked then
    return new;  -- only its time changed
  end if;
  perform sentinel.leave(old, new.status);
  new.stage := null;
  new.progress := null;
  new.verdict := null;
  new.fake_probability := null;
  new.cancel_requested := false;
  new.finished_at := case when not waiting then now() end;
  if new.status = 'failed' then
    -- The error of an earlier attempt does not explain this end; one that the same UPDATE names does.
    if new.error_code is not distinct from old.error_code then
      new.error_code := null;
      new.error_message := nullif(new.error_message, old.error_message);
      new.error_params := nullif(new.error_params, old.error_params);
    end if;
    new.error_code := coalesce(new.error_code, 'failed_by_hand');
    new.error_message := coalesce(new.error_message, 'An administrator ended this analysis.');
  else
    new.error_code := null;
    new.error_message := null;
    new.error_params := null;
  end if;
  if waiting then
    new.attempt := 0;
    new.crashes := 0;
    new.started_at := null;
    -- A requeue of many rows must not fail because two of them, or a newer request, share a key.
    if new.dedupe_key is not null and exists (
      select from public.analysis_requests q
       where q.user_id = new.user_id and q.dedupe_key = new.dedupe_key and q.id <> new.id
         and q.status in ('queued', 'scheduled', 'running'))
    then
      new.dedupe_key := null;
    end if;
  end if;
  return new;
end $$;
