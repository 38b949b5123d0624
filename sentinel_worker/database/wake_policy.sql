-- Whether Realtime has created what the policy needs, and whether the policy is there.
select exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                where n.nspname = 'realtime' and c.relname = 'messages')
   and exists (select from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
                where n.nspname = 'realtime' and p.proname = 'topic' and p.pronargs = 0),
       exists (select from pg_catalog.pg_policies p
                where p.schemaname = 'realtime' and p.tablename = 'messages'
                  and p.policyname = 'sentinel: worker hears wake-ups')
