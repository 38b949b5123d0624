-- Checks one binding for a role: `matched` is false if no published table matches. `state` and `message` report an
-- invalid role, filter or selected column: an error raised from this function would end the connection's temporary
-- slot, and with it everybody's changes.
drop function if exists _realtime.check_binding(text, text, text, jsonb, text);
create or replace function _realtime.check_binding(
  publication text, wanted_schema text, wanted_table text, filters jsonb, selected jsonb, role text,
  out matched boolean, out state text, out message text
)
language plpgsql set search_path = '' as $$
declare
  relation oid;
  filter jsonb;
  selected_column text;
  types jsonb;
begin
  matched := false;
  for relation in
    select format('%I.%I', p.schemaname, p.tablename)::regclass
    from pg_catalog.pg_publication_tables p
    where p.pubname = publication
      and (wanted_schema = '*' or p.schemaname = wanted_schema)
      and (wanted_table = '*' or p.tablename = wanted_table)
  loop
    matched := true;
    perform role::regrole;
    select coalesce(jsonb_object_agg(a.attname, a.atttypid::regtype), '{}') into types
      from pg_catalog.pg_attribute a
      where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
        and pg_catalog.has_column_privilege(role, relation, a.attnum, 'SELECT');
    for filter in select jsonb_array_elements(filters) loop
      if not types ? (filter ->> 'column') then
        raise exception 'invalid column for filter %', filter ->> 'column';
      end if;
      perform _realtime.check_filter(filter, (types ->> (filter ->> 'column'))::regtype);
    end loop;
    for selected_column in select jsonb_array_elements_text(nullif(selected, 'null')) loop
      if not types ? selected_column then
        raise exception 'invalid column for select %', selected_column;
      end if;
    end loop;
  end loop;
exception when others then
  state := sqlstate;
  message := sqlerrm;
end $$;

-- Raises if a filter {column, op, value, negate} cannot be applied to a column of the given type.
create or replace function _realtime.check_filter(filter jsonb, type regtype) returns void
language plpgsql set search_path = '' as $$
declare
  op text := filter ->> 'op';
  value text := filter ->> 'value';
begin
  if op = 'is' and value not in ('null', 'true', 'false', 'unknown') then
    raise exception 'invalid value for is filter: must be null, true, false, or unknown';
  elsif op = 'is' and value <> 'null' and type <> 'boolean'::regtype then
    raise exception 'is % filter requires a boolean column, got %', value, type;
  elsif op in ('match', 'imatch') then
    begin
      perform '' ~ value;
    exception when invalid_regular_expression then
      raise exception 'invalid regular expression for % filter: %', op, sqlerrm;
    end;
  elsif op = 'in' and cardinality(value::text[]) > 100 then
    raise exception 'too many values for `in` filter. Maximum 100';
  end if;
  begin
    execute format('select %s', _realtime.condition(format('null::%s', type), filter, type));
  exception when undefined_function then
    raise exception 'operator % requires a text-compatible column type, got %', op, type;
  end;
end $$;

-- The SQL condition of a filter {column, op, value, negate} on an expression of the given type.
create or replace function _realtime.condition(expression text, filter jsonb, type regtype) returns text
language sql set search_path = '' as $$
  select format('coalesce(%s(%s %s), false)', case when (filter ->> 'negate')::boolean then 'not ' end, expression,
    case filter ->> 'op'
      when 'in' then format('= any (%L::%s[])', filter ->> 'value', type)
      when 'is' then 'is ' || case filter ->> 'value'
        when 'null' then 'null' when 'true' then 'true' when 'false' then 'false' else 'unknown' end
      when 'like' then format('~~ %L', filter ->> 'value')
      when 'ilike' then format('~~* %L', filter ->> 'value')
      when 'match' then format('~ %L', filter ->> 'value')
      when 'imatch' then format('~* %L', filter ->> 'value')
      when 'isdistinct' then format('is distinct from %L::%s', filter ->> 'value', type)
      else format('%s %L::%s', case filter ->> 'op'
        when 'eq' then '=' when 'neq' then '<>' when 'lt' then '<' when 'lte' then '<='
        when 'gt' then '>' when 'gte' then '>=' end, filter ->> 'value', type)
    end)
$$;
