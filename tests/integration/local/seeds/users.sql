-- Users as seeds of projects make them: extensions, a bcrypt password, every token empty, an identity each.
create extension if not exists "uuid-ossp";
create extension if not exists pgcrypto with schema extensions;

insert into auth.users (
  instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, recovery_sent_at, last_sign_in_at,
  raw_app_meta_data, raw_user_meta_data, created_at, updated_at, confirmation_token, email_change,
  email_change_token_new, recovery_token, phone, phone_change, phone_change_token, is_super_admin, is_sso_user
)
select
  '00000000-0000-0000-0000-000000000000', uuid_generate_v4(), 'authenticated', 'authenticated',
  'user' || n || '@example.com', crypt('password123', gen_salt('bf')), now(), now(), now(),
  '{"provider": "email", "providers": ["email"]}', '{}', now(), now(), '', '', '', '', null, '', '', false, false
from generate_series(1, 2) as n;

insert into auth.identities (
  id, user_id, identity_data, provider, provider_id, last_sign_in_at, created_at, updated_at
)
select uuid_generate_v4(), id, format('{"sub": "%s", "email": "%s"}', id, email)::jsonb, 'email', id, now(), now(), now()
from auth.users;

create schema api;
grant usage on schema api to anon, authenticated, service_role;
create table api.things (name text primary key);
grant select on api.things to anon;
insert into api.things values ('seeded');

create table public.open_things (name text primary key);
insert into public.open_things values ('open');
