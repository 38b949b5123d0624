-- What tables, columns and functions mean, for whoever meets them in psql (\d+) or Supabase Studio. This file can be
-- applied again.

comment on schema sentinel is 'Echo Sentinel''s queue: leases, history, workers, settings. Not for any API.';

comment on table public.analysis_requests is 'One media analysis each; insert to ask for it, watch status for the answer.';
comment on column public.analysis_requests.id is 'Chosen by the client, or made by the database.';
comment on column public.analysis_requests.user_id is 'The owner, who may read the request, cancel it, run it again and delete it. The caller by default.';
comment on column public.analysis_requests.media_kind is 'video, image, audio, or auto: whatever the file turns out to be.';
comment on column public.analysis_requests.storage_path is 'The file in the bucket media, below the owner''s folder; null where source_url is set.';
comment on column public.analysis_requests.source_url is 'The public http(s) address of a file or a post; null where storage_path is set.';
comment on column public.analysis_requests.detector is 'The key of the detector to use; null: the worker''s default.';
comment on column public.analysis_requests.lane is 'Media kind and detector: what a worker must offer to take the request.';
comment on column public.analysis_requests.options is 'Reserved for detectors; an object of at most 8 KiB and 32 levels. No worker reads it today.';
comment on column public.analysis_requests.priority is '-100 to 100. Half of each claim goes first by priorities above 0; a user''s own requests go by it, too.';
comment on column public.analysis_requests.status is 'queued, scheduled, running, succeeded, failed or cancelled. Set it to queued to run again, to cancelled or failed to end.';
comment on column public.analysis_requests.run_at is 'When it is due: before, the status is scheduled. Among a user''s requests of one priority the earlier goes first.';
comment on column public.analysis_requests.attempt is 'How many attempts were claimed, the running one included; attempts that were handed back are not counted.';
comment on column public.analysis_requests.max_attempts is 'How many attempts it may have, 1 to 20; when the last one fails, so does the request.';
comment on column public.analysis_requests.crashes is 'How often its lease ran out because its worker was gone.';
comment on column public.analysis_requests.stage is 'What the worker is doing: fetching, probing, analyzing, deriving or finishing; null unless running.';
comment on column public.analysis_requests.progress is 'Percent, 0 to 100; null while it waits and where it failed or was cancelled.';
comment on column public.analysis_requests.verdict is 'fake, real, uncertain or not_applicable (nothing was there to judge); null unless succeeded.';
comment on column public.analysis_requests.fake_probability is 'Calibrated probability, 0 to 1, that the media is fake; null without a verdict or with not_applicable.';
comment on column public.analysis_requests.error_code is 'Why the last attempt ended without a result (docs/operations.md); null where none did.';
comment on column public.analysis_requests.error_message is 'The same as a sentence for the owner, at most 500 characters.';
comment on column public.analysis_requests.error_params is 'Values of that sentence, for a frontend that translates it.';
comment on column public.analysis_requests.dedupe_key is 'Unique among a user''s unfinished requests: a second one with it is refused (SQLSTATE 23505).';
comment on column public.analysis_requests.batch_id is 'Groups requests that were asked for together; chosen by the client.';
comment on column public.analysis_requests.fence is 'Renewed by every change of status; a write that carries an older one does nothing.';
comment on column public.analysis_requests.cancel_requested is 'The owner wants the running attempt to end; its worker hears of it at its next heartbeat.';
comment on column public.analysis_requests.created_at is 'When it was inserted.';
comment on column public.analysis_requests.started_at is 'When its latest attempt was claimed; null before the first.';
comment on column public.analysis_requests.finished_at is 'When it became succeeded, failed or cancelled; null until then.';

comment on table public.analysis_results is 'What an analysis found; one current row a succeeded request, earlier ones marked superseded.';
comment on column public.analysis_results.id is 'Made by the database.';
comment on column public.analysis_results.request_id is 'The request that it answers; deleting that deletes this.';
comment on column public.analysis_results.user_id is 'The request''s owner, who may read it.';
comment on column public.analysis_results.is_current is 'Whether this is the request''s answer now; at most one is.';
comment on column public.analysis_results.superseded_at is 'Since when it is not current: the request was run again, or ended by hand; null while it is.';
comment on column public.analysis_results.fence is 'The fence of the attempt that found it; its files lie in derived/<user_id>/<request_id>/<fence>/.';
comment on column public.analysis_results.attempt is 'The number of that attempt, from 1.';
comment on column public.analysis_results.verdict is 'fake, real, uncertain or not_applicable (nothing was there to judge).';
comment on column public.analysis_results.fake_probability is 'Calibrated probability, 0 to 1, that the media is fake; null with not_applicable.';
comment on column public.analysis_results.threshold is 'The probability, 0 to 1, from which the verdict is fake.';
comment on column public.analysis_results.detector is 'Which detector answered: key, repository, revision, label map, versions of the software.';
comment on column public.analysis_results.timeline is 'Windows of the pictures (of the sound where there are none), in seconds, with probabilities and faces.';
comment on column public.analysis_results.faces is 'In how many windows faces were found, and the most in one; null for detectors that do not look for faces.';
comment on column public.analysis_results.audio is 'The answer about the sound only, with its detector and timeline; null where nobody listened.';
comment on column public.analysis_results.media is 'Facts of the file: kind, container, codecs, size in bytes and pixels, seconds, SHA-256.';
comment on column public.analysis_results.derived is 'Paths of pictures in the bucket derived, by name: thumbnail, worst_frame.';
comment on column public.analysis_results.timings is 'Seconds that each stage took.';
comment on column public.analysis_results.notice is 'What has to be shown beside the verdict, such as a licence or a limit of the detector.';
comment on column public.analysis_results.worker is 'The worker that found it, as in sentinel.workers.';
comment on column public.analysis_results.created_at is 'When it was stored.';
comment on column public.analysis_results.verdict_reason is 'Why the verdict is not_applicable: no_face, silence or damaged; null otherwise.';
comment on column public.analysis_results.frames is 'The answer about the pictures only; the row''s own is raised by the sound''s.';

comment on table sentinel.leases is 'Which worker works on which request, and until when; one row a running request.';
comment on column sentinel.leases.request_id is 'The running request.';
comment on column sentinel.leases.fence is 'The attempt''s fence, the same as the request''s.';
comment on column sentinel.leases.worker is 'The worker that claimed it, as in sentinel.workers.';
comment on column sentinel.leases.attempt is 'The number of the attempt, from 1.';
comment on column sentinel.leases.claimed_at is 'When the worker claimed it.';
comment on column sentinel.leases.lease_until is 'The worker''s right ends then, unless a heartbeat extends it; after it a sweep ends the attempt.';

comment on table sentinel.attempts is 'The history of requests: every attempt that ended, and how.';
comment on column sentinel.attempts.request_id is 'The request; deleting it deletes its history.';
comment on column sentinel.attempts.fence is 'The fence that the attempt had.';
comment on column sentinel.attempts.attempt is 'The number of the attempt, from 1; one that was handed back gives its number to the next.';
comment on column sentinel.attempts.worker is 'The worker, as in sentinel.workers; null where the attempt had lost its lease.';
comment on column sentinel.attempts.claimed_at is 'When the worker claimed it; null where the attempt had lost its lease.';
comment on column sentinel.attempts.finished_at is 'When it ended.';
comment on column sentinel.attempts.outcome is 'What ended the attempt; all but lease_expired and moved_by_hand are a worker''s own words.';
comment on column sentinel.attempts.answer is 'The request''s status afterwards; a repeated finish is answered with it.';
comment on column sentinel.attempts.stage is 'The stage in which it ended.';
comment on column sentinel.attempts.error_code is 'Why it ended without a result (docs/operations.md); null where it did not say.';
comment on column sentinel.attempts.error is 'Details for admins, without secrets; at most 64 KiB.';

comment on table sentinel.workers is 'Workers that were seen within the last day.';
comment on column sentinel.workers.id is 'Made anew at each start of a worker.';
comment on column sentinel.workers.name is 'The name that its operator gave it, or its machine''s.';
comment on column sentinel.workers.version is 'The version of its software.';
comment on column sentinel.workers.lanes is 'What it takes: media kind and detector, such as video/default.';
comment on column sentinel.workers.slots is 'How many requests it works on at the same time.';
comment on column sentinel.workers.started_at is 'When it was first seen.';
comment on column sentinel.workers.last_seen is 'When it last called sentinel_maintain; it counts as gone after the setting worker_alive_seconds.';

comment on table sentinel.unserved_lanes is 'Lanes with waiting requests that no live worker offers, and since when.';
comment on column sentinel.unserved_lanes.lane is 'Media kind and detector, such as video/default.';
comment on column sentinel.unserved_lanes.since is 'When a sweep first found it so; its requests fail after the setting lane_grace_seconds.';

comment on table sentinel.turns is 'Where each worker''s next claim goes on: after which user.';
comment on column sentinel.turns.worker is 'The worker, as in sentinel.workers.';
comment on column sentinel.turns.after_user is 'The user behind whom the next claim begins its round.';
comment on column sentinel.turns.odd is 'Whose turn the middle place of an odd claim is: the users'' where true, priority''s where false.';
comment on column sentinel.turns.seen_at is 'When its place last moved on; the row goes a day later.';
comment on column sentinel.turns.ahead_after is 'The same for the places that go by priority: after which user, for each priority, which is the subscript.';

comment on table sentinel.usage is 'What users asked for within the last hour, apart from the requests: deleting one gives no place back.';
comment on column sentinel.usage.id is 'Made by the database.';
comment on column sentinel.usage.user_id is 'Who asked.';
comment on column sentinel.usage.kind is 'request: inserted; retry: run again by retry_analysis.';
comment on column sentinel.usage.amount is 'How many requests in one statement.';
comment on column sentinel.usage.at is 'When; counted for one hour.';

comment on table sentinel.deletions is 'Objects of deleted requests and users, which workers remove from Storage.';
comment on column sentinel.deletions.id is 'Made by the database.';
comment on column sentinel.deletions.bucket_id is 'The bucket: media or derived.';
comment on column sentinel.deletions.name is 'An object, or everything below a folder, which ends with a slash.';
comment on column sentinel.deletions.version is 'Which upload of that object it was: one that came after the deletion is not removed.';
comment on column sentinel.deletions.user_id is 'Whose it was.';
comment on column sentinel.deletions.tries is 'How often workers were told of objects that were still there.';
comment on column sentinel.deletions.created_at is 'When the deletion happened.';
comment on column sentinel.deletions.due_at is 'When workers are told of it next: 15 s after the first time, doubled each time, an hour at most.';
comment on column sentinel.deletions.keep_until is 'Until then a folder is looked at again: a worker or a client that does not know yet may still write into it.';

comment on table sentinel.settings is 'Settings of the queue, for all workers and users (docs/settings.md); a change holds from the next call on.';
comment on column sentinel.settings.name is 'What the functions look for; other names mean nothing.';
comment on column sentinel.settings.value is 'A JSON number; its unit is in the name. JSON null switches a limit off.';
comment on column sentinel.settings.note is 'What it does, for people.';

comment on function public.sentinel_claim is 'args {worker, lanes, limit, lease_seconds, held}: take queued requests; see docs/database.md.';
comment on function public.sentinel_heartbeat is
  'args {worker, lease_seconds, leases: [{id, fence}]}: extend leases; answers ok, cancel, busy or lost.';
comment on function public.sentinel_progress is
  'args {worker, progress: [{id, fence, stage, progress}]}: show stage and percentage; answers ok, busy or lost.';
comment on function public.sentinel_finish is
  'args {worker, outcomes: [{id, fence, outcome, ...}]}: end attempts; answers the new status, or lost, busy, invalid.';
comment on function public.sentinel_maintain is
  'args {worker, name, version, lanes, slots}: register the worker, promote what is due, end what ran out.';
comment on function public.sentinel_deletions is
  'args {worker, limit}: objects to remove from Storage; those that are still there are named again later.';
comment on function public.sentinel_rights is 'The rights that the calling worker''s role lacks, and what grants them.';
comment on function public.cancel_analysis is
  'Cancel one''s own request: answers cancelled, cancelling (it runs), its final status, or not_found.';
comment on function public.retry_analysis is
  'Run one''s own failed or cancelled request again: answers queued, its status where it is neither, or not_found.';
comment on function public.delete_analysis is
  'Delete one''s own request in any state, with its results and files: answers deleted or not_found.';
comment on function public.analysis_quota is 'What the caller has used of each quota, and the limits; null: no limit.';
