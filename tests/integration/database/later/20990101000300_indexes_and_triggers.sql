-- Builds that lock writers out of the requests.
create index analysis_requests_later on public.analysis_requests (later);
create function sentinel.later() returns trigger language plpgsql set search_path = '' as $$
begin
  new.later := new.later + 1;
  return new;
end $$;
create trigger analysis_requests_later before insert or update of status on public.analysis_requests
  for each row execute function sentinel.later();
create or replace trigger analysis_requests_wake_inserted after insert on public.analysis_requests
  for each statement execute function sentinel.wake();
