-- What is deleted here has files in Storage, and SQL may not delete those. An outbox names them; workers remove them
-- by the Storage API, and an entry goes when its objects are gone: a lost answer or a killed worker costs a repeat.

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
comment on table sentinel.deletions is 'Objects of deleted requests and users, which workers remove from Storage.';
comment on column sentinel.deletions.name is 'An object, or everything below a folder, which ends with a slash.';
comment on column sentinel.deletions.version is
  'Which upload of that object it was: one that came after the deletion is not removed.';
comment on column sentinel.deletions.keep_until is
  'Until then a folder is looked at again: a worker or a client that does not know yet may still write into it.';

create index analysis_requests_path on public.analysis_requests (storage_path) where storage_path is not null;

create function sentinel.outbox_requests() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into sentinel.deletions (bucket_id, name, version, user_id, keep_until)
  select distinct o.bucket_id, o.name, o.version, g.user_id, now()
    from gone g join storage.objects o on o.bucket_id = 'media' and o.name = g.storage_path;
  insert into sentinel.deletions (bucket_id, name, user_id, keep_until)
  select 'derived', g.user_id || '/' || g.id || '/', g.user_id, now() + interval '10 minutes' from gone g;
  return null;
end $$;

create trigger analysis_requests_outbox after delete on public.analysis_requests
  referencing old table as gone for each statement execute function sentinel.outbox_requests();

create function sentinel.outbox_users() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into sentinel.deletions (bucket_id, name, user_id, keep_until)
  select b.id, g.id || '/', g.id, now() + interval '2 hours' from gone g cross join (values ('media'), ('derived')) b (id);
  return null;
end $$;

-- Whether an object is to go: it lies below a folder of the outbox, or it is the upload that an entry names and no
-- other request does.
create function sentinel.may_remove(p_bucket text, p_name text, p_version text) returns boolean
language sql stable security definer set search_path = '' set enable_seqscan = off as $$
  select exists (
    select from sentinel.deletions e
     where e.bucket_id = p_bucket and starts_with(p_name, e.name)
       and e.name in (p_name, split_part(p_name, '/', 1) || '/',
                      split_part(p_name, '/', 1) || '/' || split_part(p_name, '/', 2) || '/')
       and (right(e.name, 1) = '/' or (e.version is not distinct from p_version and not exists (
              select from public.analysis_requests r where r.storage_path = p_name))))
$$;

-- The objects that one entry stands for now; '0' follows '/'.
create function sentinel.objects_of(d sentinel.deletions, p_limit integer) returns setof text
language sql stable set search_path = '' set enable_seqscan = off as $$
  (select o.name from storage.objects o
    where right(d.name, 1) = '/' and o.bucket_id = d.bucket_id
      and o.name ~>=~ d.name and o.name ~<~ (left(d.name, -1) || '0') limit p_limit)
  union all
  (select o.name from storage.objects o
    where o.bucket_id = d.bucket_id and o.name = d.name and sentinel.may_remove(o.bucket_id, o.name, o.version))
$$;

create function public.sentinel_deletions(args jsonb) returns table (bucket_id text, name text)
language plpgsql volatile security definer set search_path = '' set jit = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
  v_left integer := coalesce(sentinel.to_number(args -> 'limit', 1, 1000), 100);
  d sentinel.deletions;
  v_names text[];
begin
  perform sentinel.worker_of(args);
  for d in
    select e.* from sentinel.deletions e where e.due_at <= clock_timestamp()
     order by e.due_at limit 2000 for update skip locked  -- most are folders with nothing in them, at 0.1 ms each
  loop
    exit when v_left = 0;
    v_names := array(select sentinel.objects_of(d, v_left));
    if cardinality(v_names) > 0 then
      return query select d.bucket_id, n from unnest(v_names) n;
      v_left := v_left - cardinality(v_names);
      update sentinel.deletions e
         set tries = e.tries + 1, due_at = clock_timestamp() + make_interval(secs => least(3600, 15 * 2.0 ^ least(e.tries, 10)))
       where e.id = d.id;
    elsif d.keep_until > clock_timestamp() then
      update sentinel.deletions e set tries = 0, due_at = d.keep_until where e.id = d.id;
    else
      delete from sentinel.deletions e where e.id = d.id;
    end if;
  end loop;
end $$;
comment on function public.sentinel_deletions is
  'args {worker, limit}: objects to remove from Storage; those that are still there are named again later.';

do $$ begin
  grant delete on storage.objects to sentinel_worker;
exception when insufficient_privilege then
  raise notice 'storage.objects is not granted to sentinel_worker: it reaches it as a member of anon, if at all';
end $$;

create function public.delete_analysis(id uuid) returns text
language plpgsql volatile security definer set search_path = '' as $$
begin
  delete from public.analysis_requests q where q.id = delete_analysis.id and q.user_id = (select auth.uid());
  return case when found then 'deleted' else 'not_found' end;
end $$;
comment on function public.delete_analysis is
  'Delete one''s own request in any state, with its results and files: answers deleted or not_found.';

-- Old counts are of no use to a quota.
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
  end if;
end $$;

revoke all on function
  sentinel.outbox_requests(), sentinel.outbox_users(), sentinel.objects_of(sentinel.deletions, integer),
  sentinel.may_remove(text, text, text), public.sentinel_deletions(jsonb), public.delete_analysis(uuid)
  from public, anon, authenticated, service_role;
revoke all on sentinel.deletions from public, anon, authenticated, service_role;
grant execute on function sentinel.may_remove(text, text, text) to sentinel_worker;
grant execute on function public.sentinel_deletions(jsonb) to service_role, sentinel_worker;
grant execute on function public.delete_analysis(uuid) to authenticated;

-- Last, because they lock tables of the platform to the end of the transaction.
do $$ begin
  if to_regclass('auth.users') is not null then
    create trigger sentinel_users_outbox after delete on auth.users
      referencing old table as gone for each statement execute function sentinel.outbox_users();
  end if;
exception when insufficient_privilege then
  raise notice 'no trigger on auth.users: the files of deleted users stay in Storage, but for those of their requests';
end $$;

-- A worker's key can delete what the outbox names, and nothing else.
create policy "sentinel: worker removes what was deleted" on storage.objects for delete to sentinel_worker
  using (bucket_id in ('media', 'derived') and sentinel.may_remove(bucket_id, name, version));
