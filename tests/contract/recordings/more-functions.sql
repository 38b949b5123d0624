-- What else the recorded calls name.
create or replace function private_api.hello(n int) returns text language sql as $$ select 'hello ' || n $$;
create or replace function public.stable_writer() returns int language plpgsql stable as $$ begin return public.write_one(); end $$;
create or replace function public.write_one() returns int language plpgsql as $$ begin update public.jobs set attempts = attempts; return 1; end $$;
create or replace function public.single_json(jsonb) returns jsonb language sql as $$ select $1 $$;
create or replace function public.var(variadic v text[]) returns int language sql as $$ select cardinality(v) $$;
create or replace function public.tstz(ts timestamptz, j jsonb, arr int[], d bytea) returns jsonb language sql as
  $$ select jsonb_build_object('ts', ts, 'j', j, 'arr', arr, 'd', d) $$;
grant execute on all functions in schema public, private_api to service_role, authenticated, anon;
revoke execute on function public.add_secret from public, anon, authenticated;
create sequence public.raised;
create or replace function public.count_and_raise(code text) returns void language plpgsql as
  $$ begin perform nextval('public.raised'); raise exception using errcode = code, message = 'raised on purpose'; end $$;
create or replace function public.slow30(s float) returns text language sql volatile set statement_timeout = '30s' as
  $$ select pg_sleep(s)::text $$;
grant execute on function public.count_and_raise, public.slow30 to service_role, authenticated;
grant usage on sequence public.raised to service_role, authenticated;
