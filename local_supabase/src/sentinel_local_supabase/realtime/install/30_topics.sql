-- The rights of a role on a private topic. The caller rolls back, so that the probe rows do not remain.
drop function if exists _realtime.authorize(text, text, jsonb);
create function _realtime.authorize(
  topic text, role text, claims jsonb,
  out broadcast_read boolean, out presence_read boolean, out broadcast_write boolean, out presence_write boolean
)
language plpgsql set search_path = '' as $$
declare
  broadcast_id uuid := gen_random_uuid();
  presence_id uuid := gen_random_uuid();
begin
  insert into realtime.messages (id, topic, extension)
    values (broadcast_id, topic, 'broadcast'), (presence_id, topic, 'presence');
  perform set_config('realtime.topic', topic, true), set_config('request.jwt.claims', claims::text, true),
    set_config('request.jwt.claim.sub', coalesce(claims ->> 'sub', ''), true),
    set_config('request.jwt.claim.role', role, true), set_config('request.headers', '{}', true),
    set_config('role', role, true);
  begin
    select coalesce(bool_or(m.id = broadcast_id), false), coalesce(bool_or(m.id = presence_id), false)
      into broadcast_read, presence_read
      from realtime.messages m where m.id in (broadcast_id, presence_id);
  exception when insufficient_privilege then
    broadcast_read := false;
    presence_read := false;
  end;
  begin
    insert into realtime.messages (topic, extension) values (topic, 'broadcast');
    broadcast_write := true;
  exception when insufficient_privilege then
    broadcast_write := false;
  end;
  begin
    insert into realtime.messages (topic, extension) values (topic, 'presence');
    presence_write := true;
  exception when insufficient_privilege then
    presence_write := false;
  end;
  perform set_config('role', 'none', true);
end $$;
