-- Queries of replay.py.

-- name: replay
select id::text, event, payload::text, binary_payload
  from (
    select m.id, m.event, m.payload, m.binary_payload, m.inserted_at
      from realtime.messages m
     where m.topic = $1::text and m.private and m.extension = 'broadcast'
       and m.inserted_at >= to_timestamp($2::bigint / 1000.0) at time zone 'utc'
       and m.inserted_at < (now() at time zone 'utc') + interval '1 minute'
     order by m.inserted_at desc
     limit $3::int) latest
 order by inserted_at;
