-- Pauses: of everything, a lane or a user. Claims give nothing of what is paused; what runs goes on, and what waits keeps
-- its place. Claims read this small table each time, so that a pause works at once.

create table sentinel.paused (
  id      bigint generated always as identity primary key,
  lane    text,
  user_id uuid,
  reason  text,
  since   timestamptz not null default now(),
  by      text not null default session_user,
  constraint one_pause check (num_nonnulls(lane, user_id) <= 1),
  constraint lane_is_one check (lane ~ '^(video|image|audio|auto)/[a-z0-9][a-z0-9._-]{0,63}$'),
  constraint paused_once unique nulls not distinct (lane, user_id)
);

-- The pause that keeps a user's requests of a lane waiting; null if none does.
create function sentinel.pause_of(p_lane text, p_user uuid) returns sentinel.paused
language sql stable set search_path = '' as $$
  select p from sentinel.paused p
   where (p.lane is null and p.user_id is null) or p.lane = p_lane or p.user_id = p_user
   order by num_nonnulls(p.lane, p.user_id), p.lane limit 1
$$;

revoke all on sentinel.paused from public, anon, authenticated, service_role;
