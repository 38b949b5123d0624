-- name: insert_user
insert into auth.users (
  id, aud, role, email, encrypted_password, email_confirmed_at, last_sign_in_at,
  raw_app_meta_data, raw_user_meta_data, is_anonymous
) values (
  coalesce($1::uuid, gen_random_uuid()), 'authenticated', 'authenticated', lower($2::text), $3::text,
  case when $4::boolean then now() end, null, $5::jsonb, $6::jsonb, $7::boolean
)
returning to_jsonb(users.*)::text

-- name: user_by_email
select to_jsonb(users.*)::text from auth.users where lower(email) = lower($1::text) and deleted_at is null

-- name: user_by_id
select to_jsonb(users.*)::text from auth.users where id = $1::uuid and deleted_at is null

-- name: list_users
select to_jsonb(users.*)::text from auth.users where deleted_at is null order by created_at desc, id
limit $1::bigint offset $2::bigint

-- name: update_user
update auth.users set
  email = coalesce(lower($2::text), email),
  email_confirmed_at = case when $2::text is null then email_confirmed_at else now() end,
  is_anonymous = is_anonymous and $2::text is null,
  encrypted_password = coalesce($3::text, encrypted_password),
  raw_user_meta_data = raw_user_meta_data || coalesce($4::jsonb, '{}'),
  raw_app_meta_data = raw_app_meta_data || coalesce($5::jsonb, '{}'),
  updated_at = now()
where id = $1::uuid and deleted_at is null
returning to_jsonb(users.*)::text

-- name: sign_in
update auth.users set last_sign_in_at = now(), updated_at = now() where id = $1::uuid
returning to_jsonb(users.*)::text

-- name: delete_user
delete from auth.users where id = $1::uuid returning id::text

-- name: insert_session
insert into auth.sessions (user_id, user_agent) values ($1::uuid, $2::text) returning id::text

-- name: session_exists
select true from auth.sessions where id = $1::uuid

-- name: insert_refresh_token
insert into auth.refresh_tokens (token, parent, user_id, session_id) values ($1::text, $2::text, $3::uuid, $4::uuid)

-- name: take_refresh_token
select revoked, updated_at > now() - make_interval(secs => $2::double precision), user_id::text, session_id::text
from auth.refresh_tokens where token = $1::text
for update

-- name: active_refresh_token
select token from auth.refresh_tokens where session_id = $1::uuid and not revoked order by id desc limit 1

-- name: revoke_refresh_token
update auth.refresh_tokens set revoked = true, updated_at = now() where token = $1::text

-- name: end_session
delete from auth.sessions where id = $1::uuid

-- name: end_all_sessions
delete from auth.sessions where user_id = $1::uuid

-- name: end_other_sessions
delete from auth.sessions where user_id = $1::uuid and id <> $2::uuid
