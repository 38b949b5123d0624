-- The state machine: normalizes new rows and completes changes of status made by hand.
--
-- Our functions renew the fence themselves and set sentinel.moving while they run. Both conditions are required: an
-- UPDATE in plain SQL that writes `fence`, or one made by another trigger while our function runs, is still a change by
-- hand, and is completed here. The conditions are in the trigger's WHEN clause, which costs a tenth of a call.

-- One of 256 locks for the keys of all users. A requeue that does not get it at once drops its key, because another
-- transaction, which it cannot see, may be giving the key to another request. An insert only shows that it is in
-- progress. Nobody waits, and the number of locks has a bound, which a lock for each key would not have.
create function sentinel.lock_of(p_user uuid, p_key text) returns bigint
language sql immutable set search_path = '' as $$
  select hashtextextended('sentinel.dedupe', hashtextextended(p_user || p_key, 0) & 255)
$$;

create function sentinel.admit() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  -- Bulk inserts through the API send null for columns that only some rows set.
  new.status := coalesce(new.status, 'queued');
  if new.status not in ('queued', 'scheduled') then
    raise exception using errcode = 'check_violation',
      message = format('a new request cannot have the status ''%s'', only queued or scheduled', new.status),
      hint = 'Insert it without a status; to run it later, set run_at to a time in the future.',
      detail = '{"rule": "status_is_known"}', schema = 'public', table = 'analysis_requests',
      constraint = 'status_is_known';
  end if;
  if new.user_id is null then
    raise exception using errcode = 'not_null_violation', message = 'A request needs a user_id, the id of its owner.',
      hint = 'All users: select id, email from auth.users.', schema = 'public', table = 'analysis_requests',
      column = 'user_id';
  end if;
  new.id := coalesce(new.id, gen_random_uuid());
  new.media_kind := coalesce(new.media_kind, 'auto');
  new.options := coalesce(new.options, '{}');
  new.priority := coalesce(new.priority, 0);
  new.max_attempts := coalesce(new.max_attempts, 5);
  new.created_at := coalesce(new.created_at, now());
  -- The queue is ordered by run_at, so a time in the past must not give a better place.
  new.run_at := greatest(coalesce(new.run_at, now()), now());
  new.status := case when new.run_at > now() then 'scheduled' else 'queued' end;
  new.attempt := 0;
  new.crashes := 0;
  new.stage := null;
  new.progress := null;
  new.error_code := null;
  new.error_message := null;
  new.error_params := null;
  new.fence := gen_random_uuid();
  new.cancel_requested := false;
  new.started_at := null;
  if new.dedupe_key is not null then
    perform pg_try_advisory_xact_lock_shared(sentinel.lock_of(new.user_id, new.dedupe_key));
  end if;
  return new;
end $$;

-- Refuse options that some clients or listeners could not parse: every change sends them the whole row. Common JSON
-- parsers allow a few hundred levels of nesting, and JavaScript's largest number is the one below.
--
-- This is a trigger and not a CHECK, because it scans every value: PostgreSQL evaluates a CHECK at every UPDATE of a
-- row, even if `options` is unchanged. The trigger runs only when the column is written, and costs a row without
-- options one comparison.
create function sentinel.bound_options() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  -- Options that are too large are refused by their CHECK, which runs after this trigger.
  if octet_length(new.options::text) <= 8192
    and (jsonb_path_exists(new.options, 'strict $.**{32} ? (@.type() == "object" || @.type() == "array")')
         or jsonb_path_exists(
           new.options, 'strict $.** ? (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308)'))
  then
    perform sentinel.refuse_rule('options_are_readable', tg_relid);
  end if;
  return new;
end $$;

-- End a request's former state before a change by hand: delete its lease, record it in the history, and mark its result
-- superseded.
create function sentinel.leave(was public.analysis_requests, becomes text) returns void
language plpgsql set search_path = '' as $$
declare
  held sentinel.leases;
begin
  -- The caller's UPDATE holds the request's lock; the lease's lock comes second, as everywhere.
  delete from sentinel.leases l where l.request_id = was.id returning l.* into held;
  if found then
    insert into sentinel.attempts (request_id, fence, attempt, worker, claimed_at, outcome, answer, stage)
    values (was.id, held.fence, held.attempt, held.worker, held.claimed_at, 'moved_by_hand', becomes, was.stage)
    on conflict do nothing;
    -- Its files, as when a lease expires (20261130000800_maintain.sql). The worker learns of the change before its lease
    -- ends.
    insert into sentinel.deletions (bucket_id, name, user_id, keep_until)
    select 'derived', was.user_id || '/' || was.id || '/' || held.fence || '/', was.user_id,
           held.lease_until + interval '10 minutes'
     where held.lease_until > now() - interval '1 hour';
  end if;
  update public.analysis_results e set is_current = false, superseded_at = clock_timestamp()
   where e.request_id = was.id and e.is_current;
end $$;

create function sentinel.move() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  asked boolean := new.status is distinct from old.status;
  waiting boolean := new.status in ('queued', 'scheduled');
  postponed boolean := new.run_at is distinct from old.run_at;
begin
  new.fence := old.fence;
  if not asked and not (waiting and postponed) then
    return new;
  end if;
  if new.status in ('running', 'succeeded') then
    raise exception 'status ''%'' is set only by a worker; to run a request again set its status to ''queued''',
      new.status using errcode = 'PT409', hint = 'By hand: queued, scheduled (with run_at), cancelled or failed.';
  elsif new.status not in ('queued', 'scheduled', 'failed', 'cancelled') then
    raise exception using errcode = 'check_violation',
      message = format('status ''%s'' is unknown: it is queued, scheduled, running, succeeded, failed or cancelled',
                       new.status),
      hint = 'By hand: queued to run a request again, scheduled (with run_at), cancelled or failed to end it.',
      detail = '{"rule": "status_is_known"}', schema = 'public', table = 'analysis_requests',
      constraint = 'status_is_known';
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
  new.coverage := null;
  new.longest_gap_seconds := null;
  new.cancel_requested := false;
  new.finished_at := case when not waiting then now() end;
  if new.status = 'failed' then
    -- The error of an earlier attempt does not explain this end, but an error set by the same UPDATE does.
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
    if new.answer_by <= now() then
      new.answer_by := null;  -- who runs it again after that time wants the answer all the same
    end if;
    -- Requeueing many rows must not fail because two of them, or a newer request, share a key.
    if new.dedupe_key is not null and (
      not pg_try_advisory_xact_lock(sentinel.lock_of(new.user_id, new.dedupe_key))
      or exists (
        select from public.analysis_requests q
         where q.user_id = new.user_id and q.dedupe_key = new.dedupe_key and q.id <> new.id
           and q.status in ('queued', 'scheduled', 'running')))
    then
      new.dedupe_key := null;
    end if;
  end if;
  return new;
end $$;

create trigger analysis_requests_admit before insert on public.analysis_requests
  for each row execute function sentinel.admit();
-- Its name makes it run after analysis_requests_admit, which turns null into an empty object.
create trigger analysis_requests_options before insert or update of options on public.analysis_requests
  for each row when (new.options is distinct from '{}'::jsonb) execute function sentinel.bound_options();
create trigger analysis_requests_move before update of status, fence, run_at on public.analysis_requests
  for each row when (
    not (new.fence <> old.fence and coalesce(pg_catalog.current_setting('sentinel.moving', true), '') = 'on'))
  execute function sentinel.move();
