-- The platform's tables, which a hosted project locks from a CREATE POLICY to the end of the transaction.
create trigger sentinel_users_later after delete on auth.users
  referencing old table as gone for each statement execute function sentinel.outbox_users();
create policy "sentinel: later" on storage.objects for select to anon using (false);
create policy "later" on public.analysis_requests for select to anon using (false);
