-- The extensions that every hosted project has from the start, as far as this PostgreSQL has them. The folder extension
-- replaces them for a server that was built without OpenSSL.
do $$ declare
  wanted text;
begin
  foreach wanted in array array['pgcrypto', 'uuid-ossp'] loop
    if exists (select from pg_available_extensions where name = wanted) then
      execute format('create extension if not exists %I with schema extensions', wanted);
    end if;
  end loop;
end $$;
