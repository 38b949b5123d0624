-- Refusals in sentences (docs/adr/0029). A CHECK or a missing right refuses with PostgreSQL's own text, which names a
-- constraint or a table and no remedy. Triggers see the same write first and refuse it with a sentence and a hint; the
-- CHECKs, grants and policies still stand behind them.

create table sentinel.sentences (
  rule     text primary key,
  sentence text not null,
  hint     text not null
);
insert into sentinel.sentences (rule, sentence, hint) values
  ('media_kind_is_known', 'media_kind must be video, image, audio or auto.',
   'Leave media_kind out: auto follows the type of the file.'),
  ('status_is_known', 'status must be queued, scheduled, running, succeeded, failed or cancelled.',
   'Set queued to run a request again, cancelled or failed to end it. Workers set the others.'),
  ('one_source', 'A request needs either storage_path or source_url: one of them, and not both.',
   'Upload the file and set storage_path to its path in the bucket media, or set source_url to a public address.'),
  ('own_path', 'storage_path must be a path in the owner''s folder of the bucket media: <user id>/<name of the file>.',
   'Use A-Z a-z 0-9 _ / ! . * '' ( ) & $ @ = ; : + , - and spaces, at most 1,024 characters, and no empty part, "." '
   'or ".." between slashes.'),
  ('source_url_is_http', 'source_url must be an http:// or https:// address without spaces, of at most 2,048 characters.',
   'Encode the address (encodeURI), or upload the file and set storage_path.'),
  ('detector_is_a_name', 'detector must be the key of a detector: at most 64 of a-z 0-9 . _ - and no capitals.',
   'Leave detector out to use the worker''s default.'),
  ('options_are_small', 'options must be a JSON object of at most 8 KiB.', 'Leave options out, or use only {"preview": true}.'),
  ('options_are_readable', 'options may nest at most 32 levels and hold no number beyond 1.7976931348623157e308.',
   'Leave options out, or use only {"preview": true}.'),
  ('priority_is_bounded', 'priority must be between -100 and 100.', '0 is the default; the highest runs first.'),
  ('times_are_readable', 'Times must lie between the years 1970 and 3000, and cannot be infinity.',
   'Leave run_at out to run the request now, and answer_by to wait as long as it takes.'),
  ('attempts_are_bounded', 'attempt and crashes must be between 0 and 100, and max_attempts between 1 and 20.',
   'To give a request all its attempts again, set status = ''queued''.'),
  ('stage_is_short', 'stage may have at most 64 characters.', 'Workers set stage; leave it alone.'),
  ('progress_is_percent', 'progress must be between 0 and 100.', 'Workers set progress; leave it alone.'),
  ('verdict_is_known', 'verdict must be fake, real, uncertain or not_applicable.',
   'Workers set verdicts. To have a new one made, set the request''s status = ''queued''.'),
  ('verdict_is_success', 'A request has a verdict if it succeeded, and only then.',
   'Workers set verdicts. To have a new one made, set status = ''queued''.'),
  ('probability_is_of_a_verdict', 'fake_probability must be between 0 and 1, and needs a verdict.',
   'Workers set it with the verdict. To have a new one made, set status = ''queued''.'),
  ('coverage_is_of_a_verdict',
   'coverage (0 to 1) and longest_gap_seconds (from 0) belong together, and need a verdict.',
   'Workers set them with the verdict. To have a new one made, set status = ''queued''.'),
  ('error_is_failure', 'A failed request needs an error_code, and one that succeeded has none.',
   'To end a request, set status = ''failed''; an error_code and error_message of yours may go with it.'),
  ('error_is_small', 'error_code must be 1 to 64 of a-z 0-9 _, error_message at most 500 characters, and error_params a '
   'JSON object of at most 4 KiB.', 'Shorten it; sentinel.attempts keeps the details of each attempt.'),
  ('dedupe_key_is_short', 'dedupe_key must have 1 to 200 characters.',
   'Leave dedupe_key out, or use a hash of what makes two requests the same.'),
  ('original_name_is_short', 'original_name must have 1 to 255 characters.',
   'Leave original_name out, or send the end of the name.'),
  ('finished_is_final', 'finished_at is set if a request succeeded, failed or was cancelled, and only then.',
   'Change status instead: the other columns follow.'),
  ('running_is_started', 'A running request has a started_at and an attempt from 1.',
   'Set status = ''queued'' to run the request again: the other columns follow.'),
  ('cancel_is_asked_of_running', 'cancel_requested can be set only while a request runs.',
   'Set status = ''cancelled'', which works from any state.'),
  ('verdict_reason_is_of_its_verdict',
   'verdict_reason must be no_face, silence or damaged with not_applicable, not_covered or suspicious_window with '
   'uncertain, and null otherwise.', 'Workers write results. To have a new one made, set the request''s status = ''queued''.'),
  ('probabilities_are_such', 'fake_probability and threshold must be between 0 and 1.',
   'Workers write results. To have a new one made, set the request''s status = ''queued''.'),
  ('coverage_is_measured', 'coverage (0 to 1) and longest_gap_seconds (from 0) belong together.',
   'Workers write results. To have a new one made, set the request''s status = ''queued''.'),
  ('current_is_not_superseded', 'superseded_at is set if a result is not the current one, and only then.',
   'Set the request''s status = ''queued'': its result is then marked superseded.'),
  ('evidence_has_its_shape', 'detector, media and timings must be JSON objects, and timeline an array or an object.',
   'Workers write results. To have a new one made, set the request''s status = ''queued''.'),
  ('notice_is_short', 'notice may have at most 500 characters.', 'Shorten it.'),
  ('outcome_is_known', 'outcome must be succeeded, failed, retry, snoozed, released, cancelled, lease_expired or '
   'moved_by_hand.', 'The queue writes the history; leave it alone.'),
  ('one_pause', 'A pause names a lane or a user, not both; without either it pauses everything.',
   'Insert one row for the lane and one for the user.'),
  ('lane_is_one', 'lane must be a media kind and a detector, such as video/default.',
   'All lanes that wait: select * from sentinel.queue.'),
  ('times_are_finite', 'Times of a lease or a count cannot be infinity.',
   'Delete the row instead: the queue then ends the attempt, or counts anew.'),
  ('since_is_finite', 'since must be a time, not infinity.',
   'To keep requests of a lane waiting, pause it: insert into sentinel.paused (lane) values (…).'),
  ('priorities_are_subscripts', 'The subscripts of ahead_after are priorities, 1 to 100.',
   'Delete the row instead: the next claim starts a new one.'),
  ('seconds_are_plausible', 'Seconds and requests cannot be negative, and seconds must be below 1e12.',
   'Delete rows to forget what a user has used.'),
  ('sums_are_bounded', 'requests must be between 0 and 1000000, and seconds between 0 and 1e9.',
   'Delete the row instead: the rate is then counted anew.'),
  ('kind_is_known', 'kind must be request or retry.',
   'The queue counts what users use; to give a user more, raise the setting of the quota.');

-- Refuse a write that breaks a rule. The detail is for a frontend that translates the sentence.
create function sentinel.refuse_rule(rule text, relation regclass) returns void
language plpgsql stable security definer set search_path = '' as $$
declare
  s sentinel.sentences;
begin
  select t.* into s from sentinel.sentences t where t.rule = refuse_rule.rule;
  if found then
    raise exception using errcode = 'check_violation', message = s.sentence, hint = s.hint,
      detail = jsonb_build_object('rule', s.rule)::text, constraint = s.rule,
      schema = (select n.nspname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                 where c.oid = relation),
      table = (select c.relname from pg_catalog.pg_class c where c.oid = relation);
  end if;
end $$;

-- A CHECK's condition as a trigger sees it: with `new.` before the columns, except in literals.
create function sentinel.of_new(k pg_catalog.pg_constraint) returns text
language sql stable set search_path = '' as $$
  select string_agg(case when p.n % 2 = 0 then p.part else regexp_replace(p.part, c.names, 'new.\1', 'g') end, '''' order by p.n)
    from regexp_split_to_table(pg_get_expr(k.conbin, k.conrelid), '''') with ordinality as p (part, n)
   cross join (
     select '\m(' || string_agg(a.attname, '|') || ')\M' as names from pg_catalog.pg_attribute a
      where a.attrelid = k.conrelid and a.attnum = any (k.conkey)) c
$$;

-- Make a table's triggers from its CHECKs, so that each condition is written once. Run it again after a migration has
-- changed them. An INSERT of many rows evaluates the conditions without calling the function, and updates by the
-- queue's own functions do not evaluate them.
create function sentinel.explain_rules(relation regclass) returns void
language plpgsql set search_path = '' as $$
declare
  v_name text := (select c.relname from pg_catalog.pg_class c where c.oid = relation);
  v_rules text;
  v_broken text;
begin
  select string_agg(format(E'\n    when not (%s) then %L', sentinel.of_new(k), k.conname), '' order by k.conname),
         string_agg(format('not (%s)', sentinel.of_new(k)), ' or ')
    into v_rules, v_broken
    from pg_catalog.pg_constraint k where k.conrelid = relation and k.contype = 'c';
  execute format(
    E'create or replace function sentinel.%I() returns trigger '
    'language plpgsql security definer set search_path = '''' as $made$\ndeclare\n  v_broken text := case%s\n  end;\n'
    'begin\n  if v_broken is not null then\n    perform sentinel.refuse_rule(v_broken, tg_relid);\n  end if;\n'
    '  return new;\nend $made$',
    'rules_of_' || v_name, v_rules);
  execute format(
    'create or replace trigger %I before insert on %s for each row when (%s) execute function sentinel.%I()',
    v_name || '_rules_inserted', relation, v_broken, 'rules_of_' || v_name);
  execute format(
    'create or replace trigger %I before update on %s for each row '
    'when (pg_catalog.current_setting(''sentinel.moving'', true) is distinct from ''on'') execute function sentinel.%I()',
    v_name || '_rules_updated', relation, 'rules_of_' || v_name);
end $$;

do $$
declare
  t regclass;
begin
  for t in
    select distinct k.conrelid from pg_catalog.pg_constraint k join pg_catalog.pg_class c on c.oid = k.conrelid
     where k.contype = 'c' and (c.relnamespace = 'sentinel'::regnamespace
       or (c.relnamespace = 'public'::regnamespace and c.relname in ('analysis_requests', 'analysis_results')))
  loop
    perform sentinel.explain_rules(t);
  end loop;
end $$;

-- Users have the grants that 20261130001400_rights.sql names only to be refused here instead of by "permission denied
-- for table". No policy lets them change a row: without these triggers nothing would be refused, and nothing changed.

-- Refuse a user's insert that sets a column which is not an input (the trigger's arguments are the inputs), or that names
-- another owner. Where a policy of the project also allows inserts, the policies decide who the owner may be.
create function sentinel.refuse_columns() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_inputs text[] := tg_argv;
  v_forged text;
begin
  select string_agg(n.key, ', ' order by n.key) into v_forged
    from jsonb_each(to_jsonb(new)) n
   where n.value <> 'null' and n.key <> all (v_inputs) and n.key not in ('lane', 'fence')
     and n.value is distinct from jsonb_build_object(
       'status', 'queued', 'priority', 0, 'attempt', 0, 'max_attempts', 5, 'crashes', 0, 'cancel_requested', false,
       'created_at', now()) -> n.key;
  if v_forged is not null then
    raise exception using errcode = 'insufficient_privilege',
      message = format('A user cannot set %s: the queue does.', v_forged),
      hint = format('Insert only %s.', array_to_string(v_inputs, ', ')),
      detail = jsonb_build_object('columns', string_to_array(v_forged, ', '))::text;
  end if;
  if new.user_id is distinct from auth.uid() and not exists (
    select from pg_catalog.pg_policy p
     where p.polrelid = tg_relid and p.polpermissive and p.polcmd in ('a', '*') and p.polname <> 'own requests: insert')
  then
    raise exception using errcode = 'insufficient_privilege',
      message = 'user_id must be the id of the signed-in user.', hint = 'Leave user_id out: it is the caller by default.',
      detail = '{"columns": ["user_id"]}';
  end if;
  return new;
end $$;

-- Refuse a user's UPDATE, DELETE or upsert, which is an UPDATE as well.
create function sentinel.refuse_change() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_table_name = 'analysis_results' then
    raise exception using errcode = 'insufficient_privilege',
      message = 'A user cannot write analysis_results: workers do.',
      hint = 'To have a request analyzed again, insert a new one; to remove its results, call delete_analysis(id).';
  elsif tg_op = 'DELETE' then
    raise exception using errcode = 'insufficient_privilege',
      message = 'A user cannot delete from analysis_requests.',
      hint = 'Call delete_analysis(id): rpc(''delete_analysis'', { id }).';
  end if;
  raise exception using errcode = 'insufficient_privilege',
    message = 'A user cannot change analysis_requests, and an upsert is a change.',
    hint = 'Insert with insert(), not upsert(). Call cancel_analysis(id) to end a request, retry_analysis(id) to run it '
           'again, delete_analysis(id) to remove it.';
end $$;
