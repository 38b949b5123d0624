-- The tables that Realtime was recorded on, with the grants that they had.
create table public.analysis_requests (
  id uuid primary key default gen_random_uuid(),
  user_id uuid,
  status text default 'queued',
  created_at timestamptz default now()
);
create table public.big_rows (id bigint generated always as identity primary key, payload text, note text);
create table public.full_rows (
  id bigint generated always as identity primary key, user_id uuid, status text default 'queued', note text
);
create table public.not_published (id bigint generated always as identity primary key, v text);
create table public.no_grant (id bigint generated always as identity primary key, v text);

alter table public.analysis_requests enable row level security;
alter table public.big_rows enable row level security;
alter table public.full_rows enable row level security;
alter table public.full_rows replica identity full;
create policy "own rows" on public.analysis_requests for select to authenticated using (auth.uid() = user_id);
create policy "own rows" on public.full_rows for select to authenticated using (auth.uid() = user_id);
grant select, insert, update, delete on public.analysis_requests, public.big_rows, public.full_rows,
  public.not_published to anon, authenticated, service_role;
alter publication supabase_realtime add table public.analysis_requests, public.big_rows, public.full_rows,
  public.no_grant;
