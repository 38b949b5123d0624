-- Columns of tables and views that a signed-in user may select. Most of the rights to insert only lead to a sentence: the
-- triggers say what may be written.
with refusals as (
  select t.tgrelid, p.proname, string_to_array(encode(t.tgargs, 'escape'), '\000') as inputs
    from pg_trigger t join pg_proc p on p.oid = t.tgfoid
   where p.proname in ('refuse_columns', 'refuse_change') and (t.tgtype & 4) > 0)
select c.relname as relation, a.attname as name, t.typname as type,
       not a.attnotnull as nullable, c.relkind in ('v', 'm') as is_view,
       has_column_privilege('authenticated', c.oid, a.attnum, 'insert') and a.attgenerated = ''
         and not exists (
           select from refusals r
            where r.tgrelid = c.oid and (r.proname = 'refuse_change' or a.attname <> all (r.inputs))) as insertable,
       a.attnotnull and not a.atthasdef as required,
       col_description(c.oid, a.attnum) as comment
  from pg_class c
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  join pg_type t on t.oid = a.atttypid
 where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and c.relname ~ '^analysis_'
   and has_column_privilege('authenticated', c.oid, a.attnum, 'select')
 order by c.relname, a.attnum
-- next
-- Functions that a signed-in user may execute; `columns` of those that return rows.
select p.proname as name, obj_description(p.oid, 'pg_proc') as comment,
       (select t.typname from pg_type t where t.oid = p.prorettype) as returns,
       array(select array[a.name, t.typname::text]
               from unnest(p.proargnames, coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargmodes)
                    with ordinality a (name, type, mode, place)
               join pg_type t on t.oid = a.type
              where coalesce(a.mode, 'i') in ('i', 'b') order by a.place) as arguments,
       array(select array[a.name, t.typname::text]
               from unnest(p.proargnames, p.proallargtypes, p.proargmodes) with ordinality a (name, type, mode, place)
               join pg_type t on t.oid = a.type
              where a.mode in ('o', 'b', 't') order by a.place) as columns
  from pg_proc p
 where p.pronamespace = 'public'::regnamespace and p.proname ~ '(^analysis_|_analysis$)'
   and has_function_privilege('authenticated', p.oid, 'execute')
 order by p.proname
-- next
-- Constraints, whose lists of values become unions.
select pg_get_constraintdef(k.oid) as definition
  from pg_constraint k join pg_class c on c.oid = k.conrelid
 where k.contype = 'c' and c.relnamespace = 'public'::regnamespace and c.relname ~ '^analysis_'
 order by c.relname, k.conname
-- next
-- Foreign keys between these tables, through which rows are embedded.
select k.conname as name, c.relname as relation, f.relname as referenced,
       exists (select from pg_constraint u where u.conrelid = k.conrelid and u.contype in ('p', 'u')
                  and u.conkey = k.conkey) as one_to_one,
       array(select a.attname::text from unnest(k.conkey) with ordinality w (n, place)
               join pg_attribute a on a.attrelid = k.conrelid and a.attnum = w.n order by w.place) as columns,
       array(select a.attname::text from unnest(k.confkey) with ordinality w (n, place)
               join pg_attribute a on a.attrelid = k.confrelid and a.attnum = w.n order by w.place) as referenced_columns
  from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_class f on f.oid = k.confrelid
 where k.contype = 'f' and c.relnamespace = 'public'::regnamespace and f.relnamespace = 'public'::regnamespace
   and c.relname ~ '^analysis_' and f.relname ~ '^analysis_'
 order by c.relname, k.conname
