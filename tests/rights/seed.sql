-- One row of user A and two of user B in tables whose rows belong to users: the row count then tells whose they are.
-- The ids are those of world.py.
truncate auth.users, public.analysis_requests, sentinel.workers, sentinel.unserved_lanes, sentinel.usage,
         sentinel.throughput, sentinel.compute, sentinel.deletions, realtime.messages cascade;

-- First, so that nothing is told that no worker offers its lane.
insert into sentinel.workers (id, name, version, lanes, slots)
values ('cccccccc-0000-4000-8000-000000000001', 'w', '0', '{auto/default}', 1);
insert into auth.users (id, email) values
  ('aaaaaaaa-bbbb-4ccc-8ddd-aaaaaaaaaaaa', 'a@example.org'), ('bbbbbbbb-cccc-4ddd-8eee-bbbbbbbbbbbb', 'b@example.org');
insert into public.analysis_requests (id, user_id, storage_path)
select o.id::uuid, o.user_id::uuid, o.user_id || '/seed.mp4'
  from (values
    ('aaaaaaaa-0000-4000-8000-000000000001', 'aaaaaaaa-bbbb-4ccc-8ddd-aaaaaaaaaaaa'),
    ('bbbbbbbb-0000-4000-8000-000000000001', 'bbbbbbbb-cccc-4ddd-8eee-bbbbbbbbbbbb'),
    ('bbbbbbbb-0000-4000-8000-000000000002', 'bbbbbbbb-cccc-4ddd-8eee-bbbbbbbbbbbb')) o (id, user_id);
insert into public.analysis_results (request_id, user_id, fence, attempt, verdict)
select r.id, r.user_id, r.fence, 1, 'fake' from public.analysis_requests r;

insert into sentinel.leases (request_id, fence, worker, attempt, lease_until)
select r.id, r.fence, 'cccccccc-0000-4000-8000-000000000001', 1, now() + interval '1 day' from public.analysis_requests r;
insert into sentinel.attempts (request_id, fence, attempt, outcome, answer)
select r.id, r.fence, 1, 'retry', 'queued' from public.analysis_requests r;
insert into sentinel.usage (user_id, kind, amount) select r.user_id, 'request', 1 from public.analysis_requests r;
insert into sentinel.compute (user_id, worker, since, cpu_seconds, wall_seconds, requests)
select r.user_id, r.id, now(), 1, 1, 1 from public.analysis_requests r;
insert into sentinel.unserved_lanes (lane) values ('video/nobody');
insert into sentinel.throughput (lane, worker, since, requests, seconds, until)
values ('auto/default', 'cccccccc-0000-4000-8000-000000000001', now(), 1, 1, now());

-- Objects that may be removed: all of a deleted user, and one other; not one that was uploaded again since, and not
-- one that a request still names.
insert into sentinel.deletions (bucket_id, name, version, user_id, keep_until)
select o.bucket_id, o.name, o.version, 'ffffffff-0000-4000-8000-000000000001', now() + interval '1 day'
  from (values
    ('media', 'ffffffff-0000-4000-8000-000000000001/', null), ('derived', 'ffffffff-0000-4000-8000-000000000001/', null),
    ('media', 'aaaaaaaa-bbbb-4ccc-8ddd-aaaaaaaaaaaa/deleted.bin', 'v1'),
    ('media', 'aaaaaaaa-bbbb-4ccc-8ddd-aaaaaaaaaaaa/replaced.bin', 'v1'),
    ('media', 'aaaaaaaa-bbbb-4ccc-8ddd-aaaaaaaaaaaa/seed.mp4', 'v1')) o (bucket_id, name, version);

insert into realtime.messages (id, topic, extension, event, private) values
  ('eeeeeeee-0000-4000-8000-000000000001', 'sentinel:wake', 'broadcast', 'x', true),
  ('eeeeeeee-0000-4000-8000-000000000002', 'sentinel:wake', 'presence', 'x', true),
  ('eeeeeeee-0000-4000-8000-000000000003', 'another', 'broadcast', 'x', true);
