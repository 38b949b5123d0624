-- Everything of the frontend's that a migration could change, one row each: kind, name, value.
with theirs as (
  select c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relacl, c.relowner, c.relreplident
    from pg_class c
   where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
     and c.relname in ('agents', 'incidents', 'media_files', 'detections', 'network_nodes', 'network_edges',
                       'review_queue', 'evidence_chain'))
select 'table' as kind, t.relname::text as name,
       concat_ws(' ', t.relowner::regrole, t.relacl, t.relrowsecurity, t.relforcerowsecurity, t.relreplident) as value
  from theirs t
union all
select 'column', t.relname || '.' || a.attname,
       concat_ws(' ', a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attacl,
                 pg_get_expr(d.adbin, d.adrelid))
  from theirs t join pg_attribute a on a.attrelid = t.oid and a.attnum > 0
  left join pg_attrdef d on d.adrelid = t.oid and d.adnum = a.attnum
union all
select 'trigger', t.relname || '.' || g.tgname, concat_ws(' ', g.tgenabled, pg_get_triggerdef(g.oid))
  from theirs t join pg_trigger g on g.tgrelid = t.oid
union all
select 'constraint', t.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
  from theirs t join pg_constraint k on k.conrelid = t.oid
union all
select 'index', t.relname || '.' || i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
  from theirs t join pg_index i on i.indrelid = t.oid
union all
select 'policy', t.relname || '.' || p.polname,
       concat_ws(' ', p.polcmd, p.polroles, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
  from theirs t join pg_policy p on p.polrelid = t.oid
union all
select 'publication', p.pubname || '.' || t.relname, coalesce(r.prattrs::text, 'all columns')
  from theirs t join pg_publication_rel r on r.prrelid = t.oid join pg_publication p on p.oid = r.prpubid
union all
select 'function', f.oid::regprocedure::text, concat_ws(' ', f.proowner::regrole, f.proacl, md5(pg_get_functiondef(f.oid)))
  from pg_proc f
 where f.oid = 'public.update_updated_at_column'::regproc
    or f.pronamespace in ('extensions'::regnamespace, 'auth'::regnamespace) and f.prokind = 'f'
union all
select 'extension', e.extname, concat_ws(' ', e.extversion, e.extnamespace::regnamespace) from pg_extension e
union all
select 'schema', n.nspname, concat_ws(' ', n.nspowner::regrole, n.nspacl) from pg_namespace n where n.nspname = 'extensions'
union all
select 'default rights', d.oid::text, concat_ws(' ', d.defaclrole::regrole, d.defaclnamespace, d.defaclacl)
  from pg_default_acl d
order by 1, 2
