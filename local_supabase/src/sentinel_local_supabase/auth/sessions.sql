-- name: sign_in
update auth.users set last_sign_in_at = now(), updated_at = now() where id = $1::uuid
returning to_jsonb(users.*)::text

-- name: insert_session
insert into auth.sessions (user_id, user_agent) values ($1::uuid, $2::text) returning id::text

-- name: insert_method
insert into auth.mfa_amr_claims (session_id, authentication_method) values ($1::uuid, $2::text)

-- name: methods
select authentication_method, floor(extract(epoch from created_at))::bigint
from auth.mfa_amr_claims where session_id = $1::uuid order by created_at

-- name: session_exists
select true from auth.sessions where id = $1::uuid

-- name: insert_refresh_token
insert into auth.refresh_tokens (token, parent, user_id, session_id) values ($1::text, $2::text, $3::uuid, $4::uuid)

-- name: take_refresh_token
select revoked, updated_at > now() - make_interval(secs => $2::double precision), user_id::text, session_id::text
from auth.refresh_tokens where token = $1::text
for update

-- name: active_refresh_token
select token, parent from auth.refresh_tokens where session_id = $1::uuid and not revoked order by id desc limit 1

-- name: revoke_refresh_token
update auth.refresh_tokens set revoked = true, updated_at = now() where token = $1::text

-- name: revoke_session
update auth.refresh_tokens set revoked = true, updated_at = now() where session_id = $1::uuid and not revoked

-- name: touch_session
update auth.sessions set refreshed_at = now(), updated_at = now() where id = $1::uuid

-- name: end_session
delete from auth.sessions where id = $1::uuid

-- name: end_all_sessions
delete from auth.sessions where user_id = $1::uuid

-- name: end_other_sessions
delete from auth.sessions where user_id = $1::uuid and id <> $2::uuid
