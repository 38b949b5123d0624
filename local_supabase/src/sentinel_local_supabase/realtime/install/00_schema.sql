-- Functions of the local Realtime server inside the database. Installed again at every start.
-- The rules are those of Supabase Realtime's functions (apply_rls, subscription_check_filters and
-- the authorization of private channels), rewritten for whole batches of changes.

create schema if not exists _realtime;
revoke all on schema _realtime from public;
