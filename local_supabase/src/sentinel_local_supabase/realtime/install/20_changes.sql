-- The changes of one table that each subscription receives, and their form.
--   changes        [{i, type: INSERT|UPDATE|DELETE, at, new: {column: text}, old: {column: text}, large}]
--   subscriptions  [{i, role, claims, event, filters: [{column, op, value, negate}], select: [column] or null}]
-- One row per change, role and selection that somebody receives: members are indexes into subscriptions, data is the
-- event.
drop function if exists _realtime.apply(regclass, jsonb, jsonb);
create function _realtime.apply(relation regclass, changes jsonb, subscriptions jsonb)
returns table (change integer, members integer[], data text)
language plpgsql set search_path = '' as $$
declare
  table_name text := (select format('%I.%I', n.nspname, c.relname)
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = relation);
  secured boolean := (select c.relrowsecurity from pg_catalog.pg_class c where c.oid = relation);
  keys text[] := coalesce((select array_agg(a.attname::text order by a.attnum)
    from pg_catalog.pg_index x join pg_catalog.pg_attribute a on a.attrelid = x.indrelid and a.attnum = any (x.indkey)
    where x.indrelid = relation and x.indisprimary), '{}');
  party record;
  readable text[];
  shown text[];
  refusal text;
  member jsonb;
  seen integer[];
  received jsonb;
begin
  if table_name is null then -- dropped since
    return;
  end if;
  changes := _realtime.with_old_keys(changes, keys);
  for party in
    select m ->> 'role' as role, m -> 'select' as selected, jsonb_agg(m) as members
    from jsonb_array_elements(subscriptions) m where pg_catalog.to_regrole(m ->> 'role') is not null group by 1, 2
  loop
    readable := array(select a.attname::text from pg_catalog.pg_attribute a
      where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
        and pg_catalog.has_column_privilege(party.role, relation, a.attnum, 'SELECT') order by a.attnum);
    shown := array(select c from unnest(readable) c
      where party.selected = 'null' or party.selected ? c or c = any (keys));
    refusal := case when keys = '{}' then 'Error 400: Bad Request, no primary key'
      when not keys <@ readable then 'Error 401: Unauthorized' end;
    received := '{}';
    for member in select jsonb_array_elements(party.members) loop
      seen := _realtime.visible_to(member, relation, table_name, secured, keys, refusal, changes);
      select received || coalesce(jsonb_object_agg(i, coalesce(received -> i::text, '[]') || (member -> 'i')), '{}')
        into received from unnest(seen) i;
    end loop;
    return query execute format('select * from _realtime.shape(null::%s, $1, $2, $3, $4, $5, $6)', table_name)
      using relation, changes, received, shown, case when secured then keys end, refusal;
  end loop;
end $$;

-- The same for JSON texts; a failure is reported in a row. An error raised from this function would end the
-- connection's temporary slot, and a json column may hold values that jsonb refuses.
drop function if exists _realtime.try_apply(regclass, text, text);
create function _realtime.try_apply(relation regclass, changes text, subscriptions text)
returns table (change integer, members integer[], data text, refusal text)
language plpgsql set search_path = '' as $$
begin
  return query select a.*, null::text from _realtime.apply(relation, changes::jsonb, subscriptions::jsonb) a;
exception when others then
  return query select null::integer, null::integer[], null::text, sqlerrm;
end $$;

-- UPDATE events always carry the old primary key; the log has it only if it changed.
create or replace function _realtime.with_old_keys(changes jsonb, keys text[]) returns jsonb
language sql set search_path = '' as $$
  select coalesce(jsonb_agg(case
    when c ->> 'type' = 'UPDATE' and c -> 'old' = '{}'
    then c || jsonb_build_object('old', (select jsonb_object_agg(k, c -> 'new' -> k) from unnest(keys) k))
    else c end order by n), '[]')
  from jsonb_array_elements(changes) with ordinality t (c, n)
$$;

-- Indexes of the changes that one member receives. Row security is checked as the member, by primary key,
-- on the current row: nobody sees a row that is gone. DELETE is not secured.
create or replace function _realtime.visible_to(
  member jsonb, relation regclass, table_name text, secured boolean, keys text[], refusal text, changes jsonb
) returns integer[]
language plpgsql set search_path = '' as $$
declare
  new_conditions text := 'true';
  old_conditions text := 'true';
  filter jsonb;
  type regtype;
  seen integer[];
begin
  for filter in select jsonb_array_elements(member -> 'filters') loop
    select a.atttypid into type from pg_catalog.pg_attribute a
      where a.attrelid = relation and a.attname = filter ->> 'column' and not a.attisdropped;
    if not found then
      return '{}';
    end if;
    new_conditions := new_conditions || format(' and c -> ''new'' ? %L and %s', filter ->> 'column',
      _realtime.condition(format('n.%I', filter ->> 'column'), filter, type));
    old_conditions := old_conditions || format(' and c -> ''old'' ? %L and %s', filter ->> 'column',
      _realtime.condition(format('o.%I', filter ->> 'column'), filter, type));
  end loop;
  perform set_config('request.jwt.claims', (member -> 'claims')::text, true),
          set_config('role', member ->> 'role', true);
  execute format(
    'select array_agg((c ->> ''i'')::integer)
     from jsonb_array_elements($1) c,
       lateral jsonb_populate_record(null::%1$s, c -> ''new'') n,
       lateral jsonb_populate_record(null::%1$s, c -> ''old'') o
     where ($2 = ''*'' or c ->> ''type'' = $2) and case
       when c ->> ''type'' = ''DELETE'' then %2$s
       when $3 then true
       else (%3$s) and %4$s end',
    table_name, old_conditions, new_conditions,
    case when secured and refusal is null then format('exists (select from %s t where %s)', table_name,
      (select string_agg(format('t.%1$I = n.%1$I', k), ' and ') from unnest(keys) k)) else 'true' end)
    into seen using changes, member ->> 'event', refusal is not null;
  perform set_config('role', 'none', true);
  return coalesce(seen, '{}');
exception when others then
  -- A role that lost its rights, or whose policy fails, sees nothing and must not stop the others.
  perform set_config('role', 'none', true);
  raise warning 'Row changes of % are withheld from the role %: %', table_name, member ->> 'role', sqlerrm;
  return '{}';
end $$;

-- The events of one role: typed values of readable columns; of a row over 1 MiB only short values.
create or replace function _realtime.shape(
  row_type anyelement, relation regclass, changes jsonb, received jsonb, readable text[], only_keys text[], refusal text
) returns table (change integer, members integer[], data text)
language plpgsql set search_path = '' as $$
declare
  described jsonb := (select jsonb_agg(jsonb_build_object('name', a.attname, 'type', t.typname) order by a.attnum)
    from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
    where a.attrelid = relation and a.attnum > 0 and not a.attisdropped and a.attname = any (readable));
  head jsonb := (select jsonb_build_object('schema', n.nspname, 'table', c.relname)
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = relation);
begin
  return query select (c ->> 'i')::integer,
    array(select jsonb_array_elements_text(received -> (c ->> 'i'))::integer),
    (case when refusal is not null and c ->> 'type' <> 'DELETE' then head || jsonb_build_object(
        'type', c -> 'type', 'errors', jsonb_build_array(refusal), 'commit_timestamp', null, 'columns', '[]'::jsonb,
        'record', '{}'::jsonb)
        || case when c ->> 'type' = 'UPDATE' then jsonb_build_object('old_record', '{}'::jsonb) else '{}' end
      else head || jsonb_build_object('type', c -> 'type', 'commit_timestamp', c -> 'at',
        'columns', coalesce(described, '[]'),
        'errors', case when (c ->> 'large')::boolean then jsonb_build_array('Error 413: Payload Too Large') end)
        || case when c ->> 'type' = 'DELETE' then '{}' else jsonb_build_object('record',
          _realtime.fields(jsonb_populate_record(row_type, c -> 'new'), c -> 'new', readable, (c ->> 'large')::boolean)) end
        || case when c ->> 'type' = 'INSERT' then '{}' else jsonb_build_object('old_record',
          _realtime.fields(jsonb_populate_record(row_type, c -> 'old'), c -> 'old', case
            when c ->> 'type' = 'DELETE' and only_keys is not null
            then array(select unnest(only_keys) intersect select unnest(readable))
            else readable end, (c ->> 'large')::boolean)) end
      end)::text
  from jsonb_array_elements(changes) with ordinality t (c, n)
  where received ? (c ->> 'i')
  order by n;
end $$;

-- The columns of a typed row that are in the log and that the reader may see.
create or replace function _realtime.fields(typed anyelement, logged jsonb, readable text[], large boolean)
returns jsonb
language sql set search_path = '' as $$
  select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(to_jsonb(typed))
  where logged ? key and key = any (readable) and (not large or octet_length(value::text) <= 64)
$$;
