-- Tables, closed to everyone until 20261130001400_rights.sql grants access. The checks refuse impossible rows from any
-- role. 20261130001500_comments.sql describes the columns.

create table public.analysis_requests (
  id               uuid primary key default gen_random_uuid(),
  user_id          uuid not null default auth.uid(),
  media_kind       text not null default 'auto',
  storage_path     text,
  source_url       text,
  detector         text,
  lane             text not null generated always as (media_kind || '/' || coalesce(detector, 'default')) stored,
  options          jsonb not null default '{}',
  priority         smallint not null default 0,
  status           text not null default 'queued',
  run_at           timestamptz not null default now(),
  attempt          smallint not null default 0,
  max_attempts     smallint not null default 5,
  crashes          smallint not null default 0,
  stage            text,
  progress         smallint,
  verdict          text,
  fake_probability double precision,
  error_code       text,
  error_message    text,
  error_params     jsonb,
  dedupe_key       text,
  batch_id         uuid,
  fence            uuid not null default gen_random_uuid(),
  cancel_requested boolean not null default false,
  created_at       timestamptz not null default now(),
  started_at       timestamptz,
  finished_at      timestamptz,
  coverage         double precision,
  longest_gap_seconds double precision,
  answer_by        timestamptz,
  original_name    text,
  constraint media_kind_is_known check (media_kind in ('video', 'image', 'audio', 'auto')),
  constraint status_is_known
    check (status in ('queued', 'scheduled', 'running', 'succeeded', 'failed', 'cancelled')),
  constraint one_source check (num_nonnulls(storage_path, source_url) = 1),
  -- In the owner's folder, without empty or dot segments, and only listed characters without %: a client that
  -- normalizes or decodes the path must not be able to leave the folder.
  constraint own_path check (
    storage_path is null
    or (length(storage_path) <= 1024
        and starts_with(storage_path, user_id::text || '/')
        and storage_path !~ '(^|/)\.{0,2}(/|$)'
        and storage_path ~ '^[A-Za-z0-9_/!.*''() &$@=;:+,-]+$')),
  constraint source_url_is_http check (
    length(source_url) <= 2048 and source_url ~* '^https?://[^[:space:][:cntrl:]]+$'),
  constraint detector_is_a_name check (detector ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
  constraint options_are_small check (jsonb_typeof(options) = 'object' and octet_length(options::text) <= 8192),
  constraint priority_is_bounded check (priority between -100 and 100),
  -- Clients receive the whole row: Python and JavaScript cannot read infinity or years of five digits.
  constraint times_are_readable check (
    run_at >= '1970-01-01 00:00+00' and run_at < '3000-01-01 00:00+00'
    and created_at >= '1970-01-01 00:00+00' and created_at < '3000-01-01 00:00+00'
    and (started_at is null or started_at >= '1970-01-01 00:00+00' and started_at < '3000-01-01 00:00+00')
    and (finished_at is null or finished_at >= '1970-01-01 00:00+00' and finished_at < '3000-01-01 00:00+00')
    and (answer_by is null or answer_by >= '1970-01-01 00:00+00' and answer_by < '3000-01-01 00:00+00')),
  -- The functions stop counting at 100, so no count that fits here stops them.
  constraint attempts_are_bounded check (
    attempt between 0 and 100 and crashes between 0 and 100 and max_attempts between 1 and 20),
  constraint stage_is_short check (length(stage) <= 64),
  constraint progress_is_percent check (progress between 0 and 100),
  constraint verdict_is_known check (verdict in ('fake', 'real', 'uncertain', 'not_applicable')),
  constraint verdict_is_success check ((status = 'succeeded') = (verdict is not null)),
  constraint probability_is_of_a_verdict
    check (fake_probability is null or (verdict is not null and fake_probability between 0 and 1)),
  constraint coverage_is_of_a_verdict check (
    num_nonnulls(coverage, longest_gap_seconds) = 0
    or (verdict is not null and coverage is not null and longest_gap_seconds is not null
        and coverage between 0 and 1 and longest_gap_seconds >= 0 and longest_gap_seconds < 'Infinity')),
  constraint error_is_failure check (
    (status <> 'failed' or error_code is not null) and (status <> 'succeeded' or error_code is null)),
  constraint error_is_small check (
    error_code ~ '^[a-z0-9_]{1,64}$' and length(error_message) <= 500
    and jsonb_typeof(error_params) = 'object' and octet_length(error_params::text) <= 4096),
  constraint dedupe_key_is_short check (length(dedupe_key) between 1 and 200),
  constraint original_name_is_short check (length(original_name) between 1 and 255),
  constraint finished_is_final
    check ((status in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null)),
  constraint running_is_started check (status <> 'running' or (started_at is not null and attempt >= 1)),
  constraint cancel_is_asked_of_running check (not cancel_requested or status = 'running')
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);

-- Every change of status adds an entry to every index that covers the row, so each has to have a reader.
-- The queue: turns, priorities, and the number of a user's running requests (see 20261130000500_turns.sql).
create index analysis_requests_turns on public.analysis_requests (lane, user_id, priority desc, run_at, id)
  where status = 'queued';
create index analysis_requests_ahead on public.analysis_requests (lane, (-priority), user_id, run_at, id)
  where status = 'queued' and priority > 0;
create index analysis_requests_at_work on public.analysis_requests (user_id, id) where status = 'running';
create index analysis_requests_due on public.analysis_requests (run_at) where status = 'scheduled';
-- Owners' lists, quotas, batches, and one unfinished request per key.
create index analysis_requests_user on public.analysis_requests (user_id, created_at desc);
create index analysis_requests_waiting on public.analysis_requests (user_id) where status in ('queued', 'scheduled');
create index analysis_requests_batch on public.analysis_requests (batch_id) where batch_id is not null;
create unique index analysis_requests_dedupe on public.analysis_requests (user_id, dedupe_key)
  where dedupe_key is not null and status in ('queued', 'scheduled', 'running');
-- Retention, and the check that no other request names a file before it is removed.
create index analysis_requests_finished on public.analysis_requests (finished_at) where finished_at is not null;
-- The hash takes a quarter of the path's space; a query compares both (20261130001000_deletions.sql).
create index analysis_requests_path on public.analysis_requests (hashtextextended(storage_path, 0))
  where storage_path is not null;

create table public.analysis_results (
  id               uuid primary key default gen_random_uuid(),
  request_id       uuid not null references public.analysis_requests on delete cascade,
  user_id          uuid not null,
  is_current       boolean not null default true,
  superseded_at    timestamptz,
  fence            uuid not null,
  attempt          smallint not null,
  verdict          text not null,
  fake_probability double precision,
  threshold        double precision,
  detector         jsonb not null default '{}',
  timeline         jsonb not null default '[]',
  faces            jsonb,
  audio            jsonb,
  media            jsonb not null default '{}',
  derived          jsonb,
  timings          jsonb not null default '{}',
  notice           text,
  created_at       timestamptz not null default now(),
  verdict_reason   text,
  frames           jsonb,
  coverage         double precision,
  longest_gap_seconds double precision,
  constraint verdict_is_known check (verdict in ('fake', 'real', 'uncertain', 'not_applicable')),
  constraint verdict_reason_is_of_its_verdict check (
    case verdict when 'not_applicable' then verdict_reason in ('no_face', 'silence', 'damaged')
                 when 'uncertain' then verdict_reason in ('not_covered', 'suspicious_window')
                 else verdict_reason is null end),
  constraint probabilities_are_such check (fake_probability between 0 and 1 and threshold between 0 and 1),
  constraint coverage_is_measured check (
    num_nonnulls(coverage, longest_gap_seconds) = 0
    or (coverage is not null and longest_gap_seconds is not null
        and coverage between 0 and 1 and longest_gap_seconds >= 0 and longest_gap_seconds < 'Infinity')),
  constraint times_are_readable check (
    created_at >= '1970-01-01 00:00+00' and created_at < '3000-01-01 00:00+00'
    and (superseded_at is null or superseded_at >= '1970-01-01 00:00+00' and superseded_at < '3000-01-01 00:00+00')),
  constraint current_is_not_superseded check (is_current = (superseded_at is null)),
  constraint evidence_has_its_shape check (
    jsonb_typeof(detector) = 'object' and jsonb_typeof(timeline) in ('array', 'object')
    and jsonb_typeof(media) = 'object' and jsonb_typeof(timings) = 'object'),
  constraint notice_is_short check (length(notice) <= 500)
);
-- Unique, because a request has at most one current result, and not partial, so that it also serves the foreign key.
create unique index analysis_results_request on public.analysis_results (request_id, superseded_at) nulls not distinct;
create index analysis_results_user on public.analysis_results (user_id, created_at desc);
create index analysis_results_superseded on public.analysis_results (superseded_at) where superseded_at is not null;

-- Leases are separate from requests, and lease_until is not indexed, so that a heartbeat rewrites one small page.
create table sentinel.leases (
  request_id  uuid primary key references public.analysis_requests on delete cascade,
  fence       uuid not null,
  worker      uuid not null,
  attempt     smallint not null,
  claimed_at  timestamptz not null default clock_timestamp(),
  lease_until timestamptz not null,
  constraint times_are_finite check (isfinite(claimed_at) and isfinite(lease_until))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
create index leases_worker on sentinel.leases (worker);

create table sentinel.attempts (
  request_id  uuid not null references public.analysis_requests on delete cascade,
  fence       uuid not null,
  attempt     smallint not null,
  worker      uuid,
  claimed_at  timestamptz,
  finished_at timestamptz not null default clock_timestamp(),
  outcome     text not null,
  answer      text not null,
  stage       text,
  error_code  text,
  error       jsonb,
  software    jsonb,
  primary key (request_id, fence),
  constraint outcome_is_known check (outcome in (
    'succeeded', 'failed', 'retry', 'snoozed', 'released', 'cancelled', 'lease_expired', 'moved_by_hand'))
);
create index attempts_finished on sentinel.attempts (finished_at);

create table sentinel.workers (
  id         uuid primary key,
  name       text not null,
  version    text not null,
  lanes      text[] not null,
  slots      integer not null,
  started_at timestamptz not null default now(),
  last_seen  timestamptz not null default now(),
  draining   boolean not null default false
);

create table sentinel.unserved_lanes (
  lane  text primary key,
  since timestamptz not null default now(),
  constraint since_is_finite check (isfinite(since))
);

-- One row per worker, so that no two claims wait for each other.
create table sentinel.turns (
  worker      uuid primary key,
  after_user  uuid not null,
  odd         boolean not null default false,
  seen_at     timestamptz not null default now(),
  ahead_after uuid[],
  constraint priorities_are_subscripts check (
    cardinality(ahead_after) = 0
    or (array_ndims(ahead_after) = 1 and array_lower(ahead_after, 1) >= 1 and array_upper(ahead_after, 1) <= 100))
);

-- Separate from the requests, so that deleting one does not restore quota.
create table sentinel.usage (
  id      bigint generated always as identity primary key,
  user_id uuid not null,
  kind    text not null,
  amount  integer not null,
  at      timestamptz not null default now(),
  constraint kind_is_known check (kind in ('request', 'retry'))
);
create index usage_user on sentinel.usage (user_id, kind, at);
create index usage_at on sentinel.usage (at);

-- Compute that each user's attempts used. One row per user, worker and five minutes, so that no two workers wait for
-- each other. No index has a column that changes, so an update stays on its page.
create table sentinel.compute (
  user_id      uuid not null,
  worker       uuid not null,
  since        timestamptz not null,
  cpu_seconds  double precision not null,
  wall_seconds double precision not null,
  requests     integer not null,
  primary key (user_id, worker, since),
  constraint seconds_are_plausible check (cpu_seconds >= 0 and cpu_seconds < 1e12
    and wall_seconds >= 0 and wall_seconds < 1e12 and requests >= 0)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index compute_since on sentinel.compute (since);

create table sentinel.deletions (
  id         bigint generated always as identity primary key,
  bucket_id  text not null,
  name       text not null,
  version    text,
  user_id    uuid not null,
  tries      integer not null default 0,
  created_at timestamptz not null default clock_timestamp(),
  due_at     timestamptz not null default clock_timestamp(),
  keep_until timestamptz not null
);
create index deletions_due on sentinel.deletions (due_at);
create index deletions_name on sentinel.deletions (bucket_id, name);

-- A hosted project grants new tables in `public` to its API roles by default; this revokes it before anyone sees them.
alter table public.analysis_requests enable row level security;
alter table public.analysis_results enable row level security;
revoke all on
  public.analysis_requests, public.analysis_results, sentinel.leases, sentinel.attempts, sentinel.workers,
  sentinel.unserved_lanes, sentinel.turns, sentinel.usage, sentinel.compute, sentinel.deletions
  from public, anon, authenticated, service_role;

-- Last, because it locks the platform's table. Deleting a user deletes their requests.
do $$ begin
  if to_regclass('auth.users') is not null then
    alter table public.analysis_requests add constraint analysis_requests_user
      foreign key (user_id) references auth.users (id) on delete cascade;
  end if;
end $$;
