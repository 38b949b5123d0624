-- What realtime_topics.py asks of the database; the function is that of realtime.sql.

-- name: authorize
select broadcast_read, presence_read, broadcast_write from _realtime.authorize($1, $2, $3::jsonb);
