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
