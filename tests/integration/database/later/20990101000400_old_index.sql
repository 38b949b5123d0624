-- In a file of its own: to build an index locks writers out, to drop one everybody, and a migration that took the second
-- lock on top of the first met its writers in a deadlock.
drop index public.analysis_requests_batch;
