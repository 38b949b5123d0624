-- The strongest locks on the tables that the traffic uses.
alter table public.analysis_requests add column later integer not null default 0;
alter table public.analysis_results
  add column later text,
  add constraint later_is_short check (length(later) <= 100);
alter table sentinel.turns add column later uuid[];
