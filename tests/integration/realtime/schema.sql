-- Tables of the recordings, and policies for the wake-up tests.
create table public.analysis_requests (
  id uuid primary key default gen_random_uuid(),
  user_id uuid,
  status text default 'queued',
  created_at timestamptz default now()
);
alter table public.analysis_requests enable row level security;
create policy "own rows" on public.analysis_requests for select to authenticated using (auth.uid() = user_id);
alter publication supabase_realtime add table public.analysis_requests;

create table public.big_rows (id bigint generated always as identity primary key, payload text, note text);
alter table public.big_rows enable row level security;
alter publication supabase_realtime add table public.big_rows;

create table public.full_rows (
  id bigint generated always as identity primary key, user_id uuid, status text default 'queued', note text
);
alter table public.full_rows enable row level security;
create policy "own rows" on public.full_rows for select to authenticated using (auth.uid() = user_id);
alter table public.full_rows replica identity full;
alter publication supabase_realtime add table public.full_rows;

create table public.not_published (id bigint generated always as identity primary key, v text);

create table public.no_grant (id bigint generated always as identity primary key, v text);
alter publication supabase_realtime add table public.no_grant;

create table public.typed_rows (
  id integer, part text, flag boolean, exact numeric, approximate double precision, tags text[],
  document jsonb, day date, primary key (id, part)
);
alter publication supabase_realtime add table public.typed_rows;

grant select, insert, update, delete on all tables in schema public to anon, authenticated, service_role;
revoke select on public.no_grant from anon, authenticated, service_role;

create role sentinel_worker nologin;
grant sentinel_worker to authenticator, service_role;
grant usage on schema public, realtime to sentinel_worker;
grant select on public.analysis_requests to sentinel_worker;
grant select on realtime.messages to sentinel_worker;
create policy "worker reads all" on public.analysis_requests for select to sentinel_worker using (true);
create policy "worker hears wake-ups" on realtime.messages for select to sentinel_worker
  using (realtime.topic() = 'sentinel:wake' and extension = 'broadcast');
