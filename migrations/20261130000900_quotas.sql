-- Quotas of one user: open requests, requests per hour, compute per hour, stored bytes, retries per hour. The limits
-- are rows of sentinel.settings; JSON null switches one off, and the setting `quotas` all.
--
-- They apply to every role to which row security applies: `authenticated`, and any role of the project that inherits
-- it. They do not apply to roles that row security does not bind either: service_role, the owner `postgres`,
-- superusers, and therefore a function of the project that inserts for its callers with its owner's rights.

create function sentinel.used_in_an_hour(p_user uuid, p_kind text) returns bigint
language sql stable set search_path = '' as $$
  select coalesce(sum(u.amount), 0)::bigint from sentinel.usage u
   where u.user_id = p_user and u.kind = p_kind and u.at > now() - interval '1 hour'
$$;

-- CPU seconds that attempts of this user's requests have used, those of deleted requests included.
create function sentinel.compute_used(p_user uuid) returns bigint
language sql stable set search_path = '' as $$
  select coalesce(floor(sum(c.cpu_seconds)), 0)::bigint from sentinel.compute c
   where c.user_id = p_user and c.since > now() - interval '1 hour'
$$;

create function sentinel.open_requests(p_user uuid) returns bigint
language sql stable set search_path = '' as $$
  select (select count(*) from public.analysis_requests r
           where r.user_id = p_user and r.status in ('queued', 'scheduled'))
       + (select count(*) from public.analysis_requests r where r.user_id = p_user and r.status = 'running')
$$;

-- The comparisons match Storage's index for prefixes; '0' follows '/'.
create function sentinel.stored_bytes(p_user uuid) returns bigint
language sql stable set search_path = '' as $$
  select coalesce(sum(case when o.metadata ->> 'size' ~ '^[0-9]{1,18}$' then (o.metadata ->> 'size')::bigint end), 0)::bigint
    from storage.objects o
   where o.bucket_id = 'media' and o.name ~>=~ (p_user || '/') and o.name ~<~ (p_user || '0')
$$;

create function sentinel.quota(name text) returns bigint
language sql stable set search_path = '' as $$
  select sentinel.to_number(s.value, 0, 9e15)::bigint from sentinel.settings s
   where s.name = quota.name
     and not exists (select from sentinel.settings q where q.name = 'quotas' and q.value = 'false')
$$;

-- Refuse a call above a limit. The message is for the user; the detail is for a frontend that translates it.
create function sentinel.refuse(quota text, allowed bigint, used bigint, sentence text, hint text) returns void
language plpgsql immutable set search_path = '' as $$
begin
  raise exception using errcode = 'PT429', message = sentence, hint = hint,
    detail = jsonb_build_object('quota', quota, 'limit', allowed, 'used', used)::text;
end $$;

-- Count requests that this transaction has queued for a user, and refuse them if a limit is exceeded.
create function sentinel.spend(p_user uuid, p_kind text, p_amount integer) returns void
language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
  v_open bigint := sentinel.quota('max_open_requests');
  v_stored bigint := sentinel.quota('max_stored_bytes');
  v_compute bigint := sentinel.quota('max_compute_seconds_per_hour');
  v_hourly bigint := sentinel.quota(
    case p_kind when 'retry' then 'max_retries_per_hour' else 'max_requests_per_hour' end);
  v_used bigint;
begin
  if v_open is not null or v_hourly is not null then
    -- Requests queued by this user's other transactions must be counted, so the transactions take turns.
    perform pg_advisory_xact_lock(hashtextextended('sentinel.quota ' || p_user, 0));
  end if;
  if v_open is not null then
    v_used := sentinel.open_requests(p_user) - p_amount;
    if v_used + p_amount > v_open then
      perform sentinel.refuse('open_requests', v_open, v_used,
        format('Too many unfinished analyses: %s of %s are in use.', v_used, v_open),
        'Wait until one has finished, or cancel one.');
    end if;
  end if;
  if v_hourly is not null then
    v_used := sentinel.used_in_an_hour(p_user, p_kind);
    if v_used + p_amount > v_hourly then
      perform sentinel.refuse(case p_kind when 'retry' then 'retries_per_hour' else 'requests_per_hour' end,
        v_hourly, v_used,
        format(case p_kind when 'retry' then 'Too many retries within an hour: %s of %s.'
                           else 'Too many analyses within an hour: %s of %s.' end, v_used, v_hourly),
        'Try again later.');
    end if;
  end if;
  if v_compute is not null then
    v_used := sentinel.compute_used(p_user);
    if v_used >= v_compute then
      perform sentinel.refuse('compute_seconds_per_hour', v_compute, v_used,
        format('Too much computing time within an hour: %s of %s seconds are used.', v_used, v_compute),
        'Try again later.');
    end if;
  end if;
  if v_stored is not null then
    v_used := sentinel.stored_bytes(p_user);
    if v_used > v_stored then
      perform sentinel.refuse('stored_bytes', v_stored, v_used,
        format('Too many stored files: %s of %s are used.', pg_size_pretty(v_used), pg_size_pretty(v_stored)),
        'Delete files or analyses that you no longer need.');
    end if;
  end if;
  insert into sentinel.usage (user_id, kind, amount) values (p_user, p_kind, p_amount);
end $$;

create function sentinel.spend_inserted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform sentinel.spend(i.user_id, 'request', i.n::integer)
     from (select inserted.user_id, count(*) as n from inserted group by 1) i;
  return null;
end $$;

-- The condition is evaluated as the role that inserts, and cannot be forged by it.
create trigger analysis_requests_spend after insert on public.analysis_requests
  referencing new table as inserted
  for each statement when (pg_catalog.row_security_active('public.analysis_requests'::pg_catalog.regclass))
  execute function sentinel.spend_inserted();

create function public.analysis_quota() returns table (
  open_requests bigint, max_open_requests bigint, requests_last_hour bigint, max_requests_per_hour bigint,
  stored_bytes bigint, max_stored_bytes bigint, retries_last_hour bigint, max_retries_per_hour bigint,
  compute_seconds_last_hour bigint, max_compute_seconds_per_hour bigint)
language sql stable security definer set search_path = '' as $$
  select sentinel.open_requests(me.id), sentinel.quota('max_open_requests'),
         sentinel.used_in_an_hour(me.id, 'request'), sentinel.quota('max_requests_per_hour'),
         sentinel.stored_bytes(me.id), sentinel.quota('max_stored_bytes'),
         sentinel.used_in_an_hour(me.id, 'retry'), sentinel.quota('max_retries_per_hour'),
         sentinel.compute_used(me.id), sentinel.quota('max_compute_seconds_per_hour')
    from (select auth.uid() as id) me
$$;

-- Storage evaluates this before it accepts a byte, so the size of the new file is unknown. The file that exceeds the
-- limit is accepted, and the next one is refused.
create function sentinel.may_store() returns boolean
language sql stable security definer set search_path = '' as $$
  select case when q.bytes is null then true else sentinel.stored_bytes(auth.uid()) < q.bytes end
    from (select sentinel.quota('max_stored_bytes') as bytes) q
$$;

revoke all on function public.analysis_quota() from public, anon, authenticated, service_role;
grant execute on function public.analysis_quota() to authenticated;
