-- Broadcasts of bytes from the database: realtime.send with a bytea. The lock that a new column takes is asked for once.
do $$ begin
  if not exists (select from pg_catalog.pg_attribute
                  where attrelid = 'realtime.messages'::regclass and attname = 'binary_payload') then
    alter table realtime.messages add column binary_payload bytea,
      add constraint messages_payload_exclusive check (payload is null or binary_payload is null);
  end if;
end $$;

create or replace function realtime.send_binary(payload bytea, event text, topic text, private boolean default true)
  returns void language plpgsql as $$
begin
  perform set_config('realtime.topic', send_binary.topic, true);
  insert into realtime.messages (extension, topic, event, private, binary_payload)
  values ('broadcast', send_binary.topic, send_binary.event, send_binary.private, send_binary.payload);
exception when others then
  raise warning using message = 'WarnSendingBroadcastMessage: ' || sqlerrm;
end $$;
