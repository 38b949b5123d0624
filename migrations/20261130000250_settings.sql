-- Settings of the queue (docs/settings.md). Each is declared once, here: its default, its kind, its range, and if null
-- switches it off. A value outside of that would mean "unlimited" or "nobody" to the functions that read it, so it is
-- refused.

create table sentinel.settings (
  name     text primary key,
  value    jsonb not null,
  initial  jsonb not null,
  kind     text not null,
  low      numeric,
  high     numeric,
  optional boolean not null,
  note     text not null
);
insert into sentinel.settings (name, value, initial, kind, low, high, optional, note)
select v.name, v.initial, v.initial, v.kind, v.low, v.high, v.optional, v.note
  from (values
    ('lane_grace_seconds', '900'::jsonb, 'number', 0, 31536000, false,
     'How long a request waits in a lane that no live worker offers before it fails.'),
    ('worker_alive_seconds', '90', 'number', 1, 86400, false, 'A worker that was not seen for longer counts as gone.'),
    ('max_crashes', '3', 'whole', 1, 1000, false, 'A request whose lease ran out this often fails.'),
    ('quotas', 'true', 'switch', null, null, false,
     'False switches off every limit per user: all the settings whose names begin with max_, except max_crashes.'),
    ('max_open_requests', '200', 'whole', 0, 1000000000, true,
     'How many unfinished requests a user may have; null: any number.'),
    ('max_requests_per_hour', '1000', 'whole', 0, 1000000000, true,
     'How many requests a user may insert within an hour; null: any number.'),
    ('max_compute_seconds_per_hour', '7200', 'number', 0, 1000000000, true,
     'How many CPU seconds within an hour a user may use; null: any number.'),
    ('max_stored_bytes', '20000000000', 'whole', 0, 1e15, true,
     'How many bytes a user may have in the bucket media; null: any number.'),
    ('max_retries_per_hour', '20', 'whole', 0, 1000000000, true,
     'How many requests a user may run again within an hour; null: any number.'),
    ('max_running_requests', '16', 'whole', 0, 1000000, true,
     'How many requests of a user may run at the same time; null: any number.'),
    ('fair_compute_seconds', '600', 'number', 0, 1000000000, true,
     'A user who used more CPU seconds within an hour gives way; null: nobody does.'),
    ('keep_requests_days', 'null', 'number', 1, 36500, true,
     'Finished requests older than this go, with results, history and files; null: never.'),
    ('keep_superseded_results_days', 'null', 'number', 1, 36500, true,
     'Results superseded for longer than this go, with their files; null: never.'),
    ('keep_attempts_days', 'null', 'number', 1, 36500, true,
     'Attempts that ended longer ago than this leave the history; null: never.'),
    ('prune_rows', '500', 'whole', 0, 100000, false, 'How many rows of each kind one sweep prunes at most.')
  ) v (name, initial, kind, low, high, optional, note);

-- The values that a setting may have, in words.
create function sentinel.allowed_values(s sentinel.settings) returns text
language sql immutable set search_path = '' as $$
  select case s.kind when 'switch' then 'true or false'
                     else format('a %s from %s to %s%s', case s.kind when 'whole' then 'whole number' else 'number' end,
                                 s.low, s.high, case when s.optional then ', or null for no limit' else '' end) end
$$;

create function sentinel.setting_allows(s sentinel.settings, value jsonb) returns boolean
language sql immutable set search_path = '' as $$
  select case
    when jsonb_typeof(value) = 'null' then s.optional
    when s.kind = 'switch' then jsonb_typeof(value) = 'boolean'
    when jsonb_typeof(value) <> 'number' then false
    else (value #>> '{}')::numeric between s.low and s.high
         and (s.kind = 'number' or (value #>> '{}')::numeric = trunc((value #>> '{}')::numeric)) end
$$;

-- The known name that shares the most pairs of letters with a wrong one.
create function sentinel.nearest_setting(wrong text) returns text
language sql stable set search_path = '' as $$
  select s.name from sentinel.settings s
   order by (select count(*) from generate_series(1, length(wrong) - 1) i where strpos(s.name, substr(wrong, i, 2)) > 0)
            / (length(s.name) + length(wrong))::numeric desc, s.name limit 1
$$;

create function sentinel.refuse_setting(wrong text) returns void
language plpgsql stable set search_path = '' as $$
begin
  raise exception using errcode = 'check_violation', message = format('There is no setting named %s.', wrong),
    hint = format('Did you mean %s? All names: select name, value, note from sentinel.settings.',
                  sentinel.nearest_setting(wrong));
end $$;

-- Refuse an invalid value. An insert passes only if it names a setting, as an upsert of its value does.
create function sentinel.check_setting() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_declared sentinel.settings;
begin
  select s.* into v_declared from sentinel.settings s
   where s.name = case tg_op when 'INSERT' then new.name else old.name end;
  if not found then
    perform sentinel.refuse_setting(new.name);
  elsif tg_op = 'INSERT' then
    new := jsonb_populate_record(v_declared, jsonb_build_object('value', new.value));
  elsif (new.name, new.initial, new.kind, new.low, new.high, new.optional)
        is distinct from (old.name, old.initial, old.kind, old.low, old.high, old.optional) then
    raise exception using errcode = 'check_violation',
      message = format('Only value and note of the setting %s can be changed.', old.name),
      hint = format('update sentinel.settings set value = %L where name = %L', old.value, old.name);
  end if;
  new.value := coalesce(new.value, 'null');
  if not sentinel.setting_allows(v_declared, new.value) then
    raise exception using errcode = 'check_violation',
      message = format('%s must be %s, not %s.', v_declared.name, sentinel.allowed_values(v_declared),
                       left(new.value::text, 100)),
      hint = format('Its default: update sentinel.settings set value = %L where name = %L', v_declared.initial,
                    v_declared.name);
  end if;
  return new;
end $$;

-- Refuse an UPDATE that found no setting because its text names an unknown one; it would pass for a change.
create function sentinel.check_setting_names() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_names text[] := array(
    select m[1] from regexp_matches(current_query(), '''([a-z][a-z0-9_ -]{2,62})''', 'gi') m
     where m[1] not in ('null', 'true', 'false'));
begin
  if cardinality(v_names) > 0 and not exists (select from changed)
    and not exists (select from sentinel.settings s where s.name = any (v_names))
  then
    perform sentinel.refuse_setting(v_names[cardinality(v_names)]);
  end if;
  return null;
end $$;

create function sentinel.keep_settings() returns trigger
language plpgsql set search_path = '' as $$
begin
  raise exception using errcode = 'check_violation', message = 'A setting cannot be removed.',
    hint = 'Set it to its default instead: update sentinel.settings set value = initial where name = …';
end $$;

create trigger settings_check before insert or update on sentinel.settings
  for each row execute function sentinel.check_setting();
create trigger settings_check_names after update on sentinel.settings referencing new table as changed
  for each statement execute function sentinel.check_setting_names();
create trigger settings_keep before delete or truncate on sentinel.settings
  for each statement execute function sentinel.keep_settings();

revoke all on sentinel.settings from public, anon, authenticated, service_role;
