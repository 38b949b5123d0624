-- Queries of topics.py; the function is in install/30_topics.sql.

-- name: authorize
select broadcast_read, presence_read, broadcast_write, presence_write from _realtime.authorize($1, $2, $3::jsonb);
