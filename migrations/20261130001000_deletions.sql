-- Files of deleted rows, and of attempts that ended without a result. SQL must not delete objects in Storage, so an
-- outbox lists them and workers remove them through the Storage API. An entry is deleted when its objects are gone: a
-- lost response or a killed worker only costs a retry.

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

-- TRUNCATE, which shows a trigger no rows: it adds one folder per user, and each uploaded file that a request names.
create function sentinel.outbox_truncated() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_table_schema = 'auth' then
    insert into sentinel.deletions (bucket_id, name, user_id, keep_until)
    select b.id, u.id || '/', u.id, now() + interval '2 hours'
      from auth.users u cross join (values ('media'), ('derived')) b (id);
    return null;
  end if;
  insert into sentinel.deletions (bucket_id, name, version, user_id, keep_until)
  select distinct o.bucket_id, o.name, o.version, r.user_id, now()
    from public.analysis_requests r join storage.objects o on o.bucket_id = 'media' and o.name = r.storage_path;
  insert into sentinel.deletions (bucket_id, name, user_id, keep_until)
  select distinct 'derived', r.user_id || '/', r.user_id, now() + interval '10 minutes' from public.analysis_requests r;
  return null;
end $$;

create trigger analysis_requests_outbox_truncated before truncate on public.analysis_requests
  for each statement execute function sentinel.outbox_truncated();

create function sentinel.outbox_users() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into sentinel.deletions (bucket_id, name, user_id, keep_until)
  select b.id, g.id || '/', g.id, now() + interval '2 hours' from gone g cross join (values ('media'), ('derived')) b (id);
  return null;
end $$;

-- True if an object may be removed. The outbox covers it: an entry names this version of it, or a folder that it is in
-- (a user's, a request's or an attempt's) and is not older than the object. And nothing alive names it: neither a
-- request, nor a result, nor an attempt that still runs. Ids and names may return after a deletion, and a database may
-- be restored beside a newer Storage.
create function sentinel.may_remove(p_bucket text, p_name text, p_version text) returns boolean
language sql stable security definer set search_path = '' set enable_seqscan = off as $$
  select exists (
      select from sentinel.deletions e
       where e.bucket_id = p_bucket and starts_with(p_name, e.name)
         and e.name in (p_name, split_part(p_name, '/', 1) || '/',
                        split_part(p_name, '/', 1) || '/' || split_part(p_name, '/', 2) || '/',
                        split_part(p_name, '/', 1) || '/' || split_part(p_name, '/', 2) || '/'
                          || split_part(p_name, '/', 3) || '/')
         and case when right(e.name, 1) <> '/' then e.version is not distinct from p_version
                  else not exists (
                    select from storage.objects o
                     where o.bucket_id = p_bucket and o.name = p_name and o.created_at > e.keep_until) end)
    and not exists (
      select from public.analysis_requests r
       where p_bucket = 'media' and r.storage_path = p_name
         and hashtextextended(r.storage_path, 0) = hashtextextended(p_name, 0))  -- the index holds hashes
    and not exists (
      select from public.analysis_results s
       where p_bucket = 'derived' and s.request_id = sentinel.to_uuid(to_jsonb(split_part(p_name, '/', 2)))
         and s.fence = sentinel.to_uuid(to_jsonb(split_part(p_name, '/', 3))))
    and not exists (
      select from sentinel.leases l
       where p_bucket = 'derived' and l.request_id = sentinel.to_uuid(to_jsonb(split_part(p_name, '/', 2)))
         and l.fence = sentinel.to_uuid(to_jsonb(split_part(p_name, '/', 3))))
$$;

-- The objects that one entry currently covers; '0' follows '/'.
create function sentinel.objects_of(d sentinel.deletions, p_limit integer) returns setof text
language sql stable set search_path = '' set enable_seqscan = off as $$
  (select o.name from storage.objects o
    where right(d.name, 1) = '/' and o.bucket_id = d.bucket_id
      and o.name ~>=~ d.name and o.name ~<~ (left(d.name, -1) || '0') and (o.created_at > d.keep_until) is not true
      and sentinel.may_remove(o.bucket_id, o.name, o.version) limit p_limit)
  union all
  (select o.name from storage.objects o
    where o.bucket_id = d.bucket_id and o.name = d.name and sentinel.may_remove(o.bucket_id, o.name, o.version))
$$;

create function public.sentinel_deletions(args jsonb) returns table (bucket_id text, name text)
language plpgsql volatile security definer
set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
  v_left integer := coalesce(sentinel.to_number(args -> 'limit', 1, 1000), 100);
  v_until constant timestamptz := clock_timestamp() + interval '2 s';
  d sentinel.deletions;
  v_names text[];
begin
  perform sentinel.worker_of(args);
  for d in
    select e.* from sentinel.deletions e where e.due_at <= now() order by e.due_at for update skip locked
  loop
    exit when v_left = 0 or clock_timestamp() > v_until;  -- most are empty folders, at 0.1 ms each
    v_names := array(select sentinel.objects_of(d, v_left));
    if cardinality(v_names) > 0 then
      return query select d.bucket_id, n from unnest(v_names) n;
      v_left := v_left - cardinality(v_names);
    end if;
    if v_left = 0 and right(d.name, 1) = '/' then  -- there may be more in it
      update sentinel.deletions e set due_at = clock_timestamp() + interval '1 s' where e.id = d.id;
    elsif cardinality(v_names) > 0 then
      update sentinel.deletions e
         set tries = least(e.tries, 1000) + 1, due_at = clock_timestamp() + make_interval(secs => least(3600, 15 * 2.0 ^ least(e.tries, 10)))
       where e.id = d.id;
    elsif d.keep_until > clock_timestamp() then
      update sentinel.deletions e set tries = 0, due_at = d.keep_until where e.id = d.id;
    else
      delete from sentinel.deletions e where e.id = d.id;
    end if;
  end loop;
end $$;

revoke all on function public.sentinel_deletions(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.sentinel_deletions(jsonb) to service_role, sentinel_worker;

-- Last, because it locks the platform's table.
do $$ begin
  if to_regclass('auth.users') is not null then
    create trigger sentinel_users_outbox after delete on auth.users
      referencing old table as gone for each statement execute function sentinel.outbox_users();
    create trigger sentinel_users_outbox_truncated before truncate on auth.users
      for each statement execute function sentinel.outbox_truncated();
  end if;
exception when insufficient_privilege then
  raise notice 'no trigger on auth.users: files of deleted users stay in Storage, except those of their requests';
end $$;
