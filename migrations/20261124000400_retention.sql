-- What is kept for how long. Without a setting everything is kept for ever; with one the sweep prunes, oldest first,
-- so many rows a call, and names the files of what it removes in the outbox, as every deletion does.

insert into sentinel.settings (name, value, note) values
  ('keep_requests_days', 'null', 'Finished requests older than this go, with results, history and files; null: never.'),
  ('keep_superseded_results_days', 'null', 'Results superseded for longer than this go, with their files; null: never.'),
  ('keep_attempts_days', 'null', 'Attempts that ended longer ago than this leave the history; null: never.'),
  ('prune_rows', '500', 'How many rows of each kind one sweep prunes at most.');

create index analysis_requests_finished on public.analysis_requests (finished_at) where finished_at is not null;
create index analysis_results_superseded on public.analysis_results (superseded_at) where superseded_at is not null;
create index attempts_finished on sentinel.attempts (finished_at);

-- The moment before which something is not kept any more; null: it is kept for ever. A day is the least, because a
-- repeated finish is answered from the history.
create function sentinel.kept_since(name text) returns timestamptz
language sql stable set search_path = '' as $$
  select now() - make_interval(secs => 86400 * sentinel.to_number(s.value, 1, 36500))
    from sentinel.settings s where s.name = kept_since.name
$$;

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
    delete from public.analysis_requests r where r.id in (
      select o.id from public.analysis_requests o where o.finished_at < v_requests
       order by o.finished_at limit v_limit for update skip locked);
    get diagnostics v_count = row_count;
    v_all := v_all + v_count;
  end if;
  if v_results is not null then
    with gone as (
      delete from public.analysis_results e where e.id in (
        select o.id from public.analysis_results o where o.superseded_at < v_results
         order by o.superseded_at limit v_limit for update skip locked)
      returning e.user_id, e.request_id, e.fence)
    insert into sentinel.deletions (bucket_id, name, user_id, keep_until)
    select 'derived', g.user_id || '/' || g.request_id || '/' || g.fence || '/', g.user_id, now() from gone g;
    get diagnostics v_count = row_count;
    v_all := v_all + v_count;
  end if;
  if v_attempts is not null then
    delete from sentinel.attempts a where (a.request_id, a.fence) in (
      select o.request_id, o.fence from sentinel.attempts o where o.finished_at < v_attempts
       order by o.finished_at limit v_limit for update skip locked);
    get diagnostics v_count = row_count;
    v_all := v_all + v_count;
  end if;
  return v_all;
end $$;

-- The outbox may name one attempt's folder, too: three segments.
create or replace function sentinel.may_remove(p_bucket text, p_name text, p_version text) returns boolean
language sql stable security definer set search_path = '' set enable_seqscan = off as $$
  select exists (
    select from sentinel.deletions e
     where e.bucket_id = p_bucket and starts_with(p_name, e.name)
       and e.name in (p_name, split_part(p_name, '/', 1) || '/',
                      split_part(p_name, '/', 1) || '/' || split_part(p_name, '/', 2) || '/',
                      split_part(p_name, '/', 1) || '/' || split_part(p_name, '/', 2) || '/'
                        || split_part(p_name, '/', 3) || '/')
       and (right(e.name, 1) = '/' or (e.version is not distinct from p_version and not exists (
              select from public.analysis_requests r where r.storage_path = p_name))))
$$;

create or replace function sentinel.sweep(
  out promoted integer, out expired integer, out poisoned integer, out unserved integer)
language plpgsql set search_path = '' as $$
begin
  promoted := 0;
  expired := 0;
  poisoned := 0;
  unserved := 0;
  if pg_try_advisory_xact_lock(hashtextextended('sentinel.sweep', 0)) then
    promoted := sentinel.promote();
    select e.expired, e.poisoned into expired, poisoned from sentinel.expire() e;
    unserved := sentinel.fail_unserved();
    delete from sentinel.usage u where u.at < now() - interval '1 hour';
    delete from sentinel.turns t where t.seen_at < now() - interval '1 day';
    perform sentinel.prune();
  end if;
end $$;

revoke all on function sentinel.kept_since(text), sentinel.prune() from public, anon, authenticated, service_role;
