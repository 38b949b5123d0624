-- The index that analysis_requests_ahead replaced. In a file of its own, as in 20261124000600_old_order.sql.
drop index public.analysis_requests_urgent;
