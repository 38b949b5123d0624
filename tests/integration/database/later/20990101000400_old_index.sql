-- In a separate file, because building an index locks out writers and dropping one locks out everyone: a migration that
-- took the second lock on top of the first ran into a deadlock with the writers.
drop index public.analysis_requests_batch;
