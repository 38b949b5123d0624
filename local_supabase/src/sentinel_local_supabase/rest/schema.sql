-- name: relations
select coalesce(jsonb_agg(jsonb_build_object(
  'schema', n.nspname, 'name', c.relname, 'is_view', c.relkind in ('v', 'm'),
  'columns', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', a.attname,
      'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
      'default', case when a.attgenerated = '' and a.attidentity <> 'a' then pg_catalog.pg_get_expr(d.adbin, d.adrelid) end,
      'sequence', case when a.attidentity = 'd' then pg_catalog.pg_get_serial_sequence(pg_catalog.format('%I.%I', n.nspname, c.relname), a.attname) end
    ) order by a.attnum), '[]')
    from pg_catalog.pg_attribute a
    left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
  'primary_key', (
    select coalesce(jsonb_agg(a.attname order by k.place), '[]')
    from pg_catalog.pg_index i
    cross join lateral pg_catalog.unnest(i.indkey::int2[]) with ordinality as k(attnum, place)
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
    where i.indrelid = c.oid and i.indisprimary)
)), '[]')::text
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = any($1::text[]) and c.relkind in ('r', 'p', 'v', 'm', 'f')

-- name: foreign_keys
select coalesce(jsonb_agg(jsonb_build_object(
  'name', k.conname,
  'schema', n.nspname, 'table', c.relname,
  'columns', (
    select jsonb_agg(a.attname order by u.place)
    from pg_catalog.unnest(k.conkey) with ordinality as u(attnum, place)
    join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.attnum),
  'target_schema', tn.nspname, 'target_table', t.relname,
  'target_columns', (
    select jsonb_agg(a.attname order by u.place)
    from pg_catalog.unnest(k.confkey) with ordinality as u(attnum, place)
    join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.attnum),
  'unique', exists (
    select from pg_catalog.pg_index i
    where i.indrelid = k.conrelid and i.indisunique and i.indpred is null
      and i.indkey::int2[] operator(pg_catalog.<@) k.conkey)
)), '[]')::text
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class t on t.oid = k.confrelid
join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
where k.contype = 'f' and n.nspname = any($1::text[]) and tn.nspname = any($1::text[])

-- name: functions
select coalesce(jsonb_agg(jsonb_build_object(
  'schema', n.nspname, 'name', p.proname,
  'returns_set', p.proretset,
  'read_only', p.provolatile <> 'v',
  'returns', case
    when p.prorettype = 'pg_catalog.void'::regtype then 'void'
    when rt.typtype = 'c' or (rt.typtype = 'd' and bt.typtype = 'c') then 'rows'
    when p.prorettype = 'pg_catalog.record'::regtype then 'rows'
    else 'scalar' end,
  'settings', (
    select coalesce(jsonb_object_agg(split_part(one, '=', 1), substr(one, strpos(one, '=') + 1)), '{}')
    from pg_catalog.unnest(p.proconfig) as one
    where split_part(one, '=', 1) in
      ('statement_timeout', 'plan_filter.statement_cost_limit', 'default_transaction_isolation')),
  'relation', (
    select jsonb_build_array(cn.nspname, c.relname)
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace cn on cn.oid = c.relnamespace
    where c.oid = rt.typrelid and c.relkind in ('r', 'p', 'v', 'm', 'f')),
  'arguments', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', coalesce((p.proargnames)[arg.place], ''),
      'type', pg_catalog.format_type(arg.type, null),
      'required', arg.rank <= p.pronargs - p.pronargdefaults,
      'variadic', p.provariadic <> 0 and arg.rank = p.pronargs
    ) order by arg.place), '[]')
    from (
      select u.place, u.type, pg_catalog.row_number() over (order by u.place) as rank
      from pg_catalog.unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality as u(type, place)
      where p.proargmodes is null or (p.proargmodes)[u.place] in ('i', 'b', 'v')
    ) arg)
) order by p.oid), '[]')::text
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
join pg_catalog.pg_type rt on rt.oid = p.prorettype
left join pg_catalog.pg_type bt on bt.oid = rt.typbasetype
where n.nspname = any($1::text[]) and p.prokind = 'f'
  and p.prorettype not in ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype)

-- name: role_settings
select coalesce(jsonb_object_agg(r.rolname, s.setconfig), '{}')::text
from pg_catalog.pg_db_role_setting s
join pg_catalog.pg_roles r on r.oid = s.setrole
where s.setdatabase in (0, (select oid from pg_catalog.pg_database where datname = current_database()))
  and pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER')
