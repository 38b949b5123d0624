-- name: timezone
select name from pg_catalog.pg_timezone_names where name = $1
