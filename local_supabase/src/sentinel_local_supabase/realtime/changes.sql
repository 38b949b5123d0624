-- Queries of changes.py; the functions are in install/.

-- name: create_slot
select pg_create_logical_replication_slot($1, 'pgoutput', true);

-- name: poll
select data from pg_logical_slot_get_binary_changes(
  $1::name, null, $2::integer, 'proto_version', '1', 'publication_names', $3::text);

-- name: published
select coalesce(string_agg(format('%I.%I', schemaname, tablename)::regclass::oid::text, ' ' order by schemaname, tablename), '')
from pg_catalog.pg_publication_tables where pubname = $1;

-- name: check_binding
select matched, state, message from _realtime.check_binding($1, $2, $3, $4::jsonb, $5::jsonb, $6);

-- name: apply
select members, data, refusal from _realtime.try_apply($1::oid::regclass, $2::text, $3::text) order by change;
