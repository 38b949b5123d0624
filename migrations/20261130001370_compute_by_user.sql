-- Compute of the last hour by user, for admins.

do $$ begin
  if to_regclass('sentinel.compute') is null then
    return;
  end if;
  execute $view$
    create view sentinel.compute_by_user as
    select c.user_id, sum(c.cpu_seconds) as cpu_seconds, sum(c.wall_seconds) as wall_seconds,
           sum(c.requests) as requests, count(distinct c.worker) as workers
      from sentinel.compute c where c.since > now() - interval '1 hour'
     group by c.user_id
  $view$;
  revoke all on sentinel.compute_by_user from public, anon, authenticated, service_role;
  grant select on sentinel.compute_by_user to sentinel_admin;
  comment on view sentinel.compute_by_user is 'Compute that each user''s attempts used within the last hour.';
  comment on column sentinel.compute_by_user.user_id is 'The user.';
  comment on column sentinel.compute_by_user.cpu_seconds is 'CPU seconds.';
  comment on column sentinel.compute_by_user.wall_seconds is 'Seconds from the start of fetching to the end.';
  comment on column sentinel.compute_by_user.requests is 'Number of attempts.';
  comment on column sentinel.compute_by_user.workers is 'Number of workers.';
end $$;
