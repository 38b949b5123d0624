-- The schema realtime: messages (one partition a day), the policies' topic(), send() and broadcast_changes() for triggers.
create schema if not exists realtime authorization supabase_admin;
grant usage on schema realtime to anon, authenticated, service_role, postgres;
grant all on schema realtime to supabase_realtime_admin with grant option;

set role supabase_realtime_admin;

create table if not exists realtime.messages (
  topic text not null,
  extension text not null,
  payload jsonb,
  event text,
  private boolean default false,
  updated_at timestamp not null default now(),
  inserted_at timestamp not null default now(),
  id uuid not null default gen_random_uuid(),
  primary key (id, inserted_at)
) partition by range (inserted_at);
alter table realtime.messages enable row level security;
grant select, insert, update on realtime.messages to anon, authenticated, service_role;
grant all on realtime.messages to postgres with grant option;

-- The real server's janitor creates the partitions of the coming days and drops those older than three days.
create or replace function realtime.keep_partitions() returns void language plpgsql set search_path = '' as $$
declare
  today date := (now() at time zone 'utc')::date;
  d date;
  stale text;
begin
  for d in select today + n from generate_series(-1, 4) as n loop
    execute format(
      'create table if not exists realtime.%I partition of realtime.messages for values from (%L) to (%L)',
      'messages_' || to_char(d, 'YYYY_MM_DD'), d, d + 1);
  end loop;
  for stale in
    select c.relname from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'realtime.messages'::regclass
       and c.relname < 'messages_' || to_char(today - 3, 'YYYY_MM_DD')
  loop
    execute format('drop table realtime.%I', stale);
  end loop;
end $$;
revoke all on function realtime.keep_partitions() from public;
grant execute on function realtime.keep_partitions() to supabase_realtime_admin;

reset role;

create or replace function realtime.topic() returns text language sql stable as $$
  select nullif(current_setting('realtime.topic', true), '')::text
$$;

-- A message that cannot be stored is a warning, because a trigger that sends must not fail the statement that fired
-- it. The message has its row's id, also in the payload unless the sender set one there.
create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true)
  returns void language plpgsql as $$
begin
  perform set_config('realtime.topic', send.topic, true);
  with message as (select gen_random_uuid() as id)
  insert into realtime.messages as m (extension, topic, event, private, id, payload)
  select 'broadcast', send.topic, send.event, send.private, message.id,
         case when send.payload ? 'id' then send.payload
              else jsonb_set(send.payload, array['id'], to_jsonb(message.id)) end
    from message;
exception when others then
  raise warning using message = 'ErrorSendingBroadcastMessage: ' || sqlerrm;
end $$;

-- For triggers FOR EACH ROW: sends the change as a broadcast to a private topic. Unlike send it raises when misused.
create or replace function realtime.broadcast_changes(
  topic_name text, event_name text, operation text, table_name text, table_schema text,
  new record, old record, level text default 'ROW'
) returns void language plpgsql as $$
begin
  if level = 'STATEMENT' then
    raise exception 'Failed to process the row: function can only be triggered for each row, not for each statement';
  elsif coalesce(operation, '') not in ('INSERT', 'UPDATE', 'DELETE') then
    raise exception 'Failed to process the row: Unexpected operation type: %', operation;
  end if;
  perform realtime.send(
    jsonb_build_object('schema', table_schema, 'table', table_name, 'operation', operation,
      'record', new, 'old_record', old),
    event_name, topic_name);
end $$;

select realtime.keep_partitions();

do $$ begin
  if not exists (select from pg_publication where pubname = 'supabase_realtime_messages_publication') then
    create publication supabase_realtime_messages_publication for table realtime.messages
      with (publish = 'insert', publish_via_partition_root = true);
  end if;
end $$;
