-- Functions for a request's owner. They return the request's status, or not_found for another user's request.

create function public.cancel_analysis(id uuid) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  r public.analysis_requests;
begin
  select q.* into r from public.analysis_requests q
   where q.id = cancel_analysis.id and q.user_id = (select auth.uid()) for no key update;
  if not found then
    return 'not_found';
  end if;
  if r.status in ('queued', 'scheduled') then
    update public.analysis_requests q set status = 'cancelled' where q.id = r.id;
    return 'cancelled';
  end if;
  if r.status = 'running' then
    -- The worker learns of it at its next heartbeat; a success that arrives first stands.
    update public.analysis_requests q set cancel_requested = true where q.id = r.id and not q.cancel_requested;
    return 'cancelling';
  end if;
  return r.status;
end $$;

create function public.retry_analysis(id uuid) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_user uuid := auth.uid();
  v_status text;
begin
  select q.status into v_status from public.analysis_requests q
   where q.id = retry_analysis.id and q.user_id = v_user for no key update;
  if not found then
    return 'not_found';
  end if;
  if v_status in ('failed', 'cancelled') then
    update public.analysis_requests q set status = 'queued' where q.id = retry_analysis.id;
    perform sentinel.spend(v_user, 'retry', 1);
    return 'queued';
  end if;
  return v_status;
end $$;

create function public.delete_analysis(id uuid) returns text
language plpgsql volatile security definer set search_path = '' as $$
begin
  delete from public.analysis_requests q where q.id = delete_analysis.id and q.user_id = (select auth.uid());
  return case when found then 'deleted' else 'not_found' end;
end $$;

revoke all on function public.cancel_analysis(uuid), public.retry_analysis(uuid), public.delete_analysis(uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.cancel_analysis(uuid), public.retry_analysis(uuid), public.delete_analysis(uuid)
  to authenticated;
