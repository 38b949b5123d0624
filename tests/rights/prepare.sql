-- Additions for the questions: a schema in which every role may create, a bucket that is not ours, and rows of
-- objects. May be repeated. The ids are those of world.py.
create schema if not exists rights_probe;
grant usage, create on schema rights_probe to public;

insert into storage.buckets (id, name, public, file_size_limit) values
  ('media', 'media', false, 2147483648), ('derived', 'derived', false, 52428800), ('other', 'other', false, null)
  on conflict (id) do update set public = excluded.public, file_size_limit = excluded.file_size_limit;

insert into storage.objects (bucket_id, name, version)
select b.id, folder || 'row.bin', 'v1'
  from storage.buckets b
 cross join unnest(array[
   'aaaaaaaa-bbbb-4ccc-8ddd-aaaaaaaaaaaa/', 'bbbbbbbb-cccc-4ddd-8eee-bbbbbbbbbbbb/', '',
   'ffffffff-0000-4000-8000-000000000001/']) folder
 where b.id in ('media', 'derived', 'other')
union all
select 'media', 'aaaaaaaa-bbbb-4ccc-8ddd-aaaaaaaaaaaa/' || o.name, o.version
  from (values ('deleted.bin', 'v1'), ('replaced.bin', 'v2'), ('seed.mp4', 'v1')) o (name, version)
on conflict (bucket_id, name) do nothing;

-- A table whose changes everybody receives: the last change shows that all earlier ones have been delivered.
create table if not exists rights_probe.fence (id integer primary key);
grant select on rights_probe.fence to anon, authenticated, service_role, sentinel_worker;
truncate rights_probe.fence;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'supabase_realtime' and tablename = 'fence') then
    alter publication supabase_realtime add table rights_probe.fence;
  end if;
end $$;
