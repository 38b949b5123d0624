-- What changes.py asks of the database; the functions are those of realtime.sql.

-- name: create_slot
select pg_create_logical_replication_slot($1, 'pgoutput', true);

-- name: poll
select data from pg_logical_slot_get_binary_changes(
  $1::name, null, $2::integer, 'proto_version', '1', 'publication_names', $3::text);

-- name: check_binding
select _realtime.check_binding($1, $2, $3, $4::jsonb, $5);

-- name: apply
select change, members, data from _realtime.apply($1::oid::regclass, $2::jsonb, $3::jsonb) order by change;
