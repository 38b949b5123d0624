-- New bodies of the busiest functions. A claim now calls a different function; a call that is running while this is
-- applied still finds the old one.
do $$ begin
  execute replace(
    pg_get_functiondef('sentinel.choose(uuid, text[], integer, integer, jsonb)'::regprocedure),
    'sentinel.choose(', 'sentinel.choose_later(');
  execute replace(
    pg_get_functiondef('public.sentinel_claim(jsonb)'::regprocedure),
    'sentinel.choose(', 'sentinel.choose_later(');
  execute pg_get_functiondef('public.sentinel_heartbeat(jsonb)'::regprocedure);
  execute pg_get_functiondef('public.sentinel_finish(jsonb)'::regprocedure);
  execute pg_get_functiondef('sentinel.sweep()'::regprocedure);
  execute pg_get_functiondef('sentinel.move()'::regprocedure);
end $$;
revoke all on function sentinel.choose_later(uuid, text[], integer, integer, jsonb)
  from public, anon, authenticated, service_role;
