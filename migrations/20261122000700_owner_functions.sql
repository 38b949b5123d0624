-- What the owner of a request may do to it. Answers are the request's status, or not_found for anybody else's.

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
    -- The worker hears of it at its next heartbeat; a success that arrives first stands.
    update public.analysis_requests q set cancel_requested = true where q.id = r.id and not q.cancel_requested;
    return 'cancelling';
  end if;
  return r.status;
end $$;
comment on function public.cancel_analysis is
  'Cancel one''s own request: answers cancelled, cancelling (it runs), its final status, or not_found.';

create function public.retry_analysis(id uuid) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_status text;
begin
  select q.status into v_status from public.analysis_requests q
   where q.id = retry_analysis.id and q.user_id = (select auth.uid()) for no key update;
  if not found then
    return 'not_found';
  end if;
  if v_status in ('failed', 'cancelled') then
    update public.analysis_requests q set status = 'queued' where q.id = retry_analysis.id;
    return 'queued';
  end if;
  return v_status;
end $$;
comment on function public.retry_analysis is
  'Run one''s own failed or cancelled request again: answers queued, its status where it is neither, or not_found.';
