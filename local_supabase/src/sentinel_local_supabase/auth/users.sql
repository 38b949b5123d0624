-- name: insert_user
insert into auth.users (
  id, aud, role, email, encrypted_password, email_confirmed_at, last_sign_in_at,
  raw_app_meta_data, raw_user_meta_data, is_anonymous, banned_until
) values (
  coalesce($1::uuid, gen_random_uuid()), 'authenticated', $8::text, $2::text, $3::text,
  case when $4::boolean then now() end, null, $5::jsonb, $6::jsonb, $7::boolean,
  case when $9::double precision > 0 then now() + make_interval(secs => $9::double precision) end
)
returning to_jsonb(users.*)::text

-- name: user_by_email
select to_jsonb(users.*)::text from auth.users where lower(email) = lower($1::text)

-- name: user_by_id
select to_jsonb(users.*)::text from auth.users where id = $1::uuid

-- name: list_users
select to_jsonb(users.*)::text from auth.users order by created_at desc, id
limit $1::bigint offset $2::bigint

-- name: count_users
select count(*) from auth.users

-- name: update_user
update auth.users set
  email = coalesce($2::text, email),
  email_confirmed_at = case when $7::boolean then now() else email_confirmed_at end,
  is_anonymous = is_anonymous and not $8::boolean,
  encrypted_password = coalesce($3::text, encrypted_password),
  raw_user_meta_data = (raw_user_meta_data || coalesce($4::jsonb, '{}'))
    - array(select key from jsonb_each(coalesce($4::jsonb, '{}')) where value = 'null'),
  raw_app_meta_data = (raw_app_meta_data || coalesce($5::jsonb, '{}')
    || case when $2::text is null then '{}'::jsonb else '{"provider": "email", "providers": ["email"]}' end)
    - array(select key from jsonb_each(coalesce($5::jsonb, '{}')) where value = 'null'),
  role = coalesce($6::text, role),
  banned_until = case when $9::double precision is null then banned_until
                      when $9::double precision > 0 then now() + make_interval(secs => $9::double precision) end,
  updated_at = now()
where id = $1::uuid
returning to_jsonb(users.*)::text

-- name: matches_crypt
select extensions.crypt($1::text, $2::text) = $2::text

-- name: replace_hash
update auth.users set encrypted_password = $3::text where id = $1::uuid and encrypted_password = $2::text

-- name: delete_user
delete from auth.users where id = $1::uuid returning id::text

-- name: forget_user
update auth.users set
  email = $2::text, encrypted_password = null, raw_user_meta_data = '{}', raw_app_meta_data = '{}',
  deleted_at = coalesce(deleted_at, now()), updated_at = now()
where id = $1::uuid
returning id::text

-- name: end_sessions_but
delete from auth.sessions where user_id = $1::uuid and id is distinct from $2::uuid
