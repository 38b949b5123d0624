-- Limits per user that are switched off.
select s.name from sentinel.settings s
 where s.name ~ '^max_' and s.name <> 'max_crashes'
   and (s.value = 'null' or exists (select from sentinel.settings q where q.name = 'quotas' and q.value = 'false'))
 order by s.name;
