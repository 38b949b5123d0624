-- name: bucket
select id, public, file_size_limit, allowed_mime_types from storage.buckets where id = $1::text

-- name: try_insert
insert into storage.objects (bucket_id, name, owner, owner_id, version, metadata, user_metadata)
values ($1::text, $2::text, $3::uuid, $4::text, $5::text, $6::jsonb, $7::jsonb)

-- name: try_upsert
insert into storage.objects (bucket_id, name, owner, owner_id, version, metadata, user_metadata)
values ($1::text, $2::text, $3::uuid, $4::text, $5::text, $6::jsonb, $7::jsonb)
on conflict (bucket_id, name) do update set
  owner = excluded.owner, owner_id = excluded.owner_id, version = excluded.version,
  metadata = excluded.metadata, user_metadata = excluded.user_metadata

-- name: current_version
select version from storage.objects where bucket_id = $1::text and name = $2::text

-- name: finish_upload
insert into storage.objects (bucket_id, name, owner, owner_id, version, metadata, user_metadata)
values ($1::text, $2::text, $3::uuid, $4::text, $5::text, $6::jsonb, $7::jsonb)
on conflict (bucket_id, name) do update set
  owner = coalesce(excluded.owner, objects.owner), owner_id = coalesce(excluded.owner_id, objects.owner_id),
  version = excluded.version, metadata = excluded.metadata, user_metadata = excluded.user_metadata
returning jsonb_build_object(
  'name', name, 'bucket_id', bucket_id, 'owner', coalesce(owner::text, ''), 'owner_id', coalesce(owner_id, ''),
  'version', version, 'id', id,
  'updated_at', to_char(updated_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  'created_at', to_char(created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  'last_accessed_at', to_char(last_accessed_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  'metadata', metadata, 'user_metadata', coalesce(user_metadata, '{}')
)::text

-- name: version_is_used
select exists (select from storage.objects where version = $1::text)

-- name: try_move
update storage.objects set
  bucket_id = $3::text, name = $4::text, version = $5::text,
  owner = coalesce($6::uuid, owner), owner_id = coalesce($7::text, owner_id)
where bucket_id = $1::text and name = $2::text

-- name: move
update storage.objects set
  bucket_id = $3::text, name = $4::text, version = $5::text,
  owner = coalesce($6::uuid, owner), owner_id = coalesce($7::text, owner_id),
  metadata = metadata || jsonb_build_object('lastModified', $8::text)
where bucket_id = $1::text and name = $2::text and version = $9::text
returning id::text

-- name: object
select jsonb_build_object(
  'id', id, 'name', name, 'version', version, 'bucket_id', bucket_id, 'metadata', metadata,
  'user_metadata', coalesce(user_metadata, '{}'),
  'created_at', to_char(created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
)::text
from storage.objects where bucket_id = $1::text and name = $2::text

-- name: visible_names
select name from storage.objects where bucket_id = $1::text and name = any($2::text[])

-- name: remove
delete from storage.objects where bucket_id = $1::text and name = any($2::text[])
returning version, jsonb_build_object(
  'name', name, 'bucket_id', bucket_id, 'owner', coalesce(owner::text, ''), 'owner_id', coalesce(owner_id, ''),
  'version', version, 'id', id,
  'updated_at', to_char(updated_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  'created_at', to_char(created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  'last_accessed_at', to_char(last_accessed_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  'metadata', metadata, 'user_metadata', coalesce(user_metadata, '{}')
)::text

-- name: get_bucket
select json_build_object(
  'id', id, 'name', name, 'owner', coalesce(owner::text, ''), 'public', public,
  'file_size_limit', file_size_limit, 'allowed_mime_types', allowed_mime_types,
  'created_at', to_char(created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  'updated_at', to_char(updated_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
)::text
from storage.buckets where id = $1::text

-- name: list_buckets
select coalesce(json_agg(json_build_object(
  'id', id, 'name', name, 'owner', coalesce(owner::text, ''), 'public', public, 'type', type,
  'file_size_limit', file_size_limit, 'allowed_mime_types', allowed_mime_types,
  'created_at', to_char(created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  'updated_at', to_char(updated_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
) order by created_at), '[]')::text
from storage.buckets

-- name: create_bucket
insert into storage.buckets (id, name, owner, owner_id, public, file_size_limit, allowed_mime_types)
values ($1::text, $2::text, $3::uuid, $4::text, $5::boolean, $6::bigint, $7::text[])

-- name: update_bucket
update storage.buckets set
  public = coalesce($2::boolean, public),
  file_size_limit = case when $3::boolean then $4::bigint else file_size_limit end,
  allowed_mime_types = case when $5::boolean then $6::text[] else allowed_mime_types end,
  updated_at = now()
where id = $1::text returning id

-- name: bucket_is_used
select exists (select from storage.objects where bucket_id = $1::text)

-- name: delete_bucket
delete from storage.buckets where id = $1::text returning id

-- name: empty_bucket
delete from storage.objects where bucket_id = $1::text returning version
