-- Quotas bind everybody to whom row security applies: `authenticated`, and any role of the project that inherits it.
-- Not bound are those whom it does not bind either: service_role, the owner `postgres`, superusers; and so a function
-- of the project that inserts for its callers with its owner's rights.

-- The condition is evaluated as the role that inserts, and cannot be forged by it.
create or replace trigger analysis_requests_spend after insert on public.analysis_requests
  referencing new table as inserted
  for each statement when (pg_catalog.row_security_active('public.analysis_requests'::pg_catalog.regclass))
  execute function sentinel.spend_inserted();
