-- Limits per user that are switched off.
select s.name from sentinel.settings s where s.name ~ '^max_' and s.value = 'null' order by s.name;
