-- Parsing of arguments and settings. Every function for workers takes one jsonb argument, so that worker and database
-- may differ in version during an upgrade. Parsing never raises, except for the worker's id: an invalid element must
-- not fail its batch.
--
-- These are for arguments of a call. What a finish reads from each of its entries is written out there: PostgreSQL
-- inlines no function that sets search_path, and every function sets it. PL/pgSQL, because it costs half of SQL here.

create function sentinel.elements(args jsonb, name text) returns setof jsonb
language sql immutable set search_path = '' as $$
  select e from jsonb_array_elements(
    case jsonb_typeof(args -> name) when 'array' then args -> name else '[]'::jsonb end) as e
$$;

create function sentinel.to_uuid(value jsonb) returns uuid
language plpgsql immutable set search_path = '' as $$
begin
  return case when jsonb_typeof(value) = 'string'
               and value #>> '{}' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
              then (value #>> '{}')::uuid end;
end $$;

-- A number, clamped to bounds; null for anything else.
create function sentinel.to_number(value jsonb, low double precision, high double precision)
returns double precision language plpgsql immutable set search_path = '' as $$
begin
  return case when jsonb_typeof(value) = 'number'
              then greatest(low::numeric, least(high::numeric, (value #>> '{}')::numeric))::double precision end;
end $$;

-- A string, cut to a length; null for anything else.
create function sentinel.to_text(value jsonb, length integer) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return case when jsonb_typeof(value) = 'string' then left(value #>> '{}', length) end;
end $$;

-- The caller's id, the only argument that every call needs.
create function sentinel.worker_of(args jsonb) returns uuid
language plpgsql immutable set search_path = '' as $$
declare
  v_worker uuid := sentinel.to_uuid(args -> 'worker');
begin
  if v_worker is null then
    raise exception 'args.worker must be the uuid of the calling worker' using errcode = 'invalid_parameter_value';
  end if;
  return v_worker;
end $$;

-- A setting's number, or the fallback if its row is missing or not a number.
create function sentinel.setting(name text, fallback double precision) returns double precision
language sql stable set search_path = '' as $$
  select coalesce(
    (select sentinel.to_number(s.value, 0, 1e9) from sentinel.settings s where s.name = setting.name), fallback)
$$;
