-- Two private buckets: users write media/<user_id>/..., workers write derived/<user_id>/<request_id>/<fence>/...

insert into storage.buckets (id, name, public, file_size_limit) values
  ('media', 'media', false, 2147483648),
  ('derived', 'derived', false, 52428800)
on conflict (id) do nothing;

do $$ begin
  if exists (select from storage.buckets b where b.id in ('media', 'derived') and b.public) then
    raise warning 'the bucket ''media'' or ''derived'' already existed and is public: everyone can read its files';
  end if;
end $$;

do $$ begin
  grant usage on schema storage to sentinel_worker;
  grant select, insert, update, delete on storage.objects to sentinel_worker;
exception when insufficient_privilege then
  raise notice 'storage.objects is not granted to sentinel_worker: it has at most the rights of anon there';
end $$;

-- A removal is checked once more when Storage deletes the row: between the list and this moment, the file may have been
-- uploaded again, or a new request may name it. No policy applies to the secret key, and a policy sees the rows as they
-- were when the statement began; this trigger applies to every key and sees what was committed before. Only workers send
-- this header; all other deletions pass.
create function sentinel.check_removal() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if sentinel.may_remove(old.bucket_id, old.name, old.version) then
    return old;
  end if;
  return null;
end $$;

do $$ begin
  create trigger sentinel_objects_removal before delete on storage.objects
    for each row when (current_setting('request.headers', true) like '%"x-sentinel-removal"%')
    execute function sentinel.check_removal();
exception when insufficient_privilege then
  raise notice 'no trigger on storage.objects: a worker with the secret key may remove a file that is uploaded or named '
    'again just then';
end $$;

-- Policies come last in each file: CREATE POLICY locks the platform's tables until the end of the transaction.

create policy "sentinel: owner reads" on storage.objects for select to authenticated
  using (bucket_id in ('media', 'derived') and (storage.foldername(name))[1] = (select auth.uid())::text);
create policy "sentinel: owner adds media" on storage.objects for insert to authenticated
  with check (bucket_id = 'media' and (storage.foldername(name))[1] = (select auth.uid())::text);
create policy "sentinel: owner replaces media" on storage.objects for update to authenticated
  using (bucket_id = 'media' and (storage.foldername(name))[1] = (select auth.uid())::text)
  with check (bucket_id = 'media' and (storage.foldername(name))[1] = (select auth.uid())::text);
create policy "sentinel: owner removes media" on storage.objects for delete to authenticated
  using (bucket_id = 'media' and (storage.foldername(name))[1] = (select auth.uid())::text);
create policy "sentinel: quota of new media" on storage.objects as restrictive for insert to authenticated
  with check (bucket_id <> 'media' or (select sentinel.may_store()));
create policy "sentinel: quota of replaced media" on storage.objects as restrictive for update to authenticated
  with check (bucket_id <> 'media' or (select sentinel.may_store()));

create policy "sentinel: worker reads" on storage.objects for select to sentinel_worker
  using (bucket_id in ('media', 'derived'));
create policy "sentinel: worker adds derived" on storage.objects for insert to sentinel_worker
  with check (bucket_id = 'derived');
create policy "sentinel: worker replaces derived" on storage.objects for update to sentinel_worker
  using (bucket_id = 'derived') with check (bucket_id = 'derived');
-- A worker's key can delete what the outbox names, and nothing else.
create policy "sentinel: worker removes what was deleted" on storage.objects for delete to sentinel_worker
  using (bucket_id in ('media', 'derived') and sentinel.may_remove(bucket_id, name, version));
