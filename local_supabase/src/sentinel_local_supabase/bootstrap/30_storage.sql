-- The schema storage, as Supabase Storage 1.70 leaves it.
create schema if not exists storage authorization supabase_storage_admin;
grant usage on schema storage to anon, authenticated, service_role;
grant all on schema storage to postgres with grant option;

set role supabase_storage_admin;

create table if not exists storage.buckets (
  id text primary key,
  name text not null unique,
  owner uuid,
  owner_id text,
  public boolean default false,
  avif_autodetection boolean default false,
  file_size_limit bigint,
  allowed_mime_types text[],
  type text not null default 'STANDARD',
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

create table if not exists storage.objects (
  id uuid primary key default gen_random_uuid(),
  bucket_id text references storage.buckets,
  name text,
  owner uuid,
  owner_id text,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  last_accessed_at timestamptz default now(),
  metadata jsonb,
  path_tokens text[] generated always as (string_to_array(name, '/')) stored,
  version text,
  user_metadata jsonb
);
create unique index if not exists bucketid_objname on storage.objects (bucket_id, name);
create index if not exists name_prefix_search on storage.objects (name text_pattern_ops);

-- An empty name has no last part; every other name has one, which may be empty.
create or replace function storage.filename(name text) returns text language sql immutable as
  $$ select split_part(nullif(name, ''), '/', -1) $$;

create or replace function storage.extension(name text) returns text language sql immutable as
  $$ select split_part(storage.filename(name), '.', -1) $$;

create or replace function storage.foldername(name text) returns text[] language sql immutable as
  $$ select trim_array(string_to_array(nullif(name, ''), '/'), 1) $$;

create or replace function storage.update_updated_at_column() returns trigger language plpgsql as $$
begin
  new.updated_at = now();
  return new;
end $$;

-- Deleting a row does not delete its file: only the Storage API, which identifies itself by a setting, removes both.
create or replace function storage.protect_delete() returns trigger language plpgsql as $$
declare
  by_the_api boolean := current_setting('storage.allow_delete_query', true) is not distinct from 'true';
begin
  if by_the_api then
    return null;
  end if;
  raise insufficient_privilege using
    message = 'Direct deletion from storage tables is not allowed. Use the Storage API instead.',
    hint = 'This prevents accidental data loss from orphaned objects.';
end $$;

create or replace trigger update_objects_updated_at before update on storage.objects
  for each row execute function storage.update_updated_at_column();
create or replace trigger protect_objects_delete before delete on storage.objects
  for each statement execute function storage.protect_delete();
create or replace trigger protect_buckets_delete before delete on storage.buckets
  for each statement execute function storage.protect_delete();

alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;

grant all on storage.buckets, storage.objects to anon, authenticated, service_role;
grant all on storage.buckets, storage.objects to postgres with grant option;

reset role;
