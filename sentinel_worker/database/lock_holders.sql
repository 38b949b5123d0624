-- Sessions that hold a lock and whose transaction has been open for longer than the interval $1, oldest first.
select a.pid, a.usename, a.application_name, a.state, round(extract(epoch from clock_timestamp() - a.xact_start))
  from pg_catalog.pg_stat_activity a
 where a.datname = current_database() and a.pid <> pg_backend_pid()
   and a.xact_start < clock_timestamp() - $1::interval
   and exists (select from pg_catalog.pg_locks l
                where l.pid = a.pid and l.granted
                  and (l.locktype = 'advisory' or l.relation >= 16384))  -- smaller oids are the catalog's own tables
 order by a.xact_start limit 5
