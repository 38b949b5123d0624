-- Roles and defaults as on a hosted Supabase project. Run by the superuser supabase_admin, in every database.
-- Roles belong to the whole server, so each statement must be repeatable.
do $$
declare
  wanted record;
begin
  for wanted in
    select * from (values
      ('anon', 'nologin inherit'),
      ('authenticated', 'nologin inherit'),
      ('service_role', 'nologin inherit bypassrls'),
      ('authenticator', 'login noinherit'),
      ('supabase_auth_admin', 'login noinherit createrole'),
      ('supabase_storage_admin', 'login noinherit createrole'),
      ('supabase_realtime_admin', 'login noinherit'),
      ('dashboard_user', 'nologin createdb createrole replication'),
      -- The owner of a hosted project: powerful, but not a superuser.
      ('postgres', 'login inherit createdb createrole bypassrls replication')
    ) as roles (name, attributes)
  loop
    if not exists (select from pg_roles where rolname = wanted.name) then
      execute format('create role %I %s', wanted.name, wanted.attributes);
    end if;
  end loop;
end $$;

grant anon, authenticated, service_role to authenticator;
grant authenticator to supabase_storage_admin;
-- Realtime's own user is a member of only these three; any role that subscribes must be granted to one of them.
grant anon, authenticated, service_role to supabase_realtime_admin;
grant anon, authenticated, service_role to postgres with admin option;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;
-- Hosted projects let postgres create policies on these owners' tables through an extension (supautils); plain
-- PostgreSQL allows it only to members.
grant supabase_storage_admin, supabase_realtime_admin to postgres;
-- The owner may set what REST exposes (alter role authenticator set pgrst.db_schemas = …). From PostgreSQL 16 on that
-- takes more than CREATEROLE.
grant set on parameter pgrst.db_schemas to postgres;
do $$ begin
  if current_setting('server_version_num')::int >= 160000 then
    execute 'grant authenticator to postgres with admin true, inherit false, set false';
  end if;
end $$;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role postgres set search_path = "$user", public, extensions;
alter role supabase_auth_admin set search_path = auth;
alter role supabase_storage_admin set search_path = storage;

do $$ begin
  execute format('alter database %I owner to postgres', current_database());
end $$;

create schema if not exists extensions authorization postgres;
grant usage on schema extensions to anon, authenticated, service_role, supabase_auth_admin;
grant usage on schema public to anon, authenticated, service_role, supabase_realtime_admin;
-- No default privileges: since 2026-10-30 new tables in public are granted to nobody. project.py grants them on request.

do $$ begin
  if not exists (select from pg_publication where pubname = 'supabase_realtime') then
    create publication supabase_realtime;
  end if;
end $$;
alter publication supabase_realtime owner to postgres;

-- This notification reloads PostgREST's schema cache.
create or replace function extensions.pgrst_ddl_watch() returns event_trigger language plpgsql as $$
begin
  notify pgrst, 'reload schema';
end $$;
drop event trigger if exists pgrst_ddl_watch;
create event trigger pgrst_ddl_watch on ddl_command_end execute function extensions.pgrst_ddl_watch();
drop event trigger if exists pgrst_drop_watch;
create event trigger pgrst_drop_watch on sql_drop execute function extensions.pgrst_ddl_watch();
