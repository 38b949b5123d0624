-- The worker's role, and the schema that no API exposes.
--
-- Every file runs as a hosted project's `postgres`: CREATEROLE and BYPASSRLS, but not a superuser. Each runs in its own
-- transaction. Statements that lock a table of the platform come last in their file: the locks are held until the
-- transaction ends, and other applications wait for them.

do $$ begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'sentinel_worker') then
    create role sentinel_worker nologin inherit;
  end if;
end $$;

grant sentinel_worker to authenticator;  -- PostgREST and Storage may become it
-- Realtime's own database user is a member only of anon, authenticated and service_role. Without this grant, a
-- subscription by sentinel_worker ends postgres_changes for every client of the project.
grant sentinel_worker to service_role;

do $$ begin
  -- The only way to read realtime.messages and storage.objects if their owner grants nothing to custom roles.
  grant anon to sentinel_worker;
exception when insufficient_privilege then
  raise notice 'anon is not granted to sentinel_worker: PostgreSQL 16 and later require the ADMIN option. '
               'Broadcast wake-ups for that role need it; a service key does not.';
end $$;

grant usage on schema public to sentinel_worker;

create schema sentinel;
revoke all on schema sentinel from public;
