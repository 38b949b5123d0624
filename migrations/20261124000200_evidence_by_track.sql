-- Evidence of every kind of media: why a verdict is not_applicable, and the pictures' own answer beside the sound's.

alter table public.analysis_results
  add column verdict_reason text,
  add column frames jsonb,
  add constraint verdict_reason_is_a_name check (verdict_reason ~ '^[a-z_]{1,64}$');

comment on column public.analysis_results.verdict_reason is 'Why the verdict is not_applicable: no_face, silence.';
comment on column public.analysis_results.frames is 'The answer about the pictures alone; the row''s own is raised by the sound''s.';
comment on column public.analysis_results.audio is 'The answer about the sound alone, with its detector and timeline.';
comment on column public.analysis_results.timeline is 'Windows of the pictures (of the sound where there are none), with probabilities and faces.';

create or replace function sentinel.store_result(
  r public.analysis_requests, p_worker uuid, p_fence uuid, result jsonb) returns void
language plpgsql set search_path = '' as $$
begin
  if octet_length(result::text) > 1048576 then
    raise exception 'the result is larger than 1 MiB' using errcode = 'program_limit_exceeded';
  end if;
  update public.analysis_results e set is_current = false, superseded_at = now()
   where e.request_id = r.id and e.is_current;
  insert into public.analysis_results (
    request_id, user_id, fence, attempt, worker, verdict, fake_probability, threshold, verdict_reason, detector,
    timeline, faces, frames, audio, media, derived, timings, notice)
  values (
    r.id, r.user_id, p_fence, r.attempt, p_worker, result ->> 'verdict',
    (result ->> 'fake_probability')::double precision, (result ->> 'threshold')::double precision,
    sentinel.to_text(result -> 'verdict_reason', 64),
    coalesce(nullif(result -> 'detector', 'null'), '{}'), coalesce(nullif(result -> 'timeline', 'null'), '[]'),
    nullif(result -> 'faces', 'null'), nullif(result -> 'frames', 'null'), nullif(result -> 'audio', 'null'),
    coalesce(nullif(result -> 'media', 'null'), '{}'), nullif(result -> 'derived', 'null'),
    coalesce(nullif(result -> 'timings', 'null'), '{}'), sentinel.to_text(result -> 'notice', 500));
end $$;
