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
  owner = excluded.owner, owner_id = excluded.owner_id, version = excluded.version,
  metadata = excluded.metadata, user_metadata = excluded.user_metadata
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
  'name', name, 'bucket_id', bucket_id, 'owner', '', 'owner_id', coalesce(owner_id, ''),
  'version', version, 'id', id,
  'updated_at', to_char(updated_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  'created_at', to_char(created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  'last_accessed_at', to_char(last_accessed_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  'metadata', metadata, 'user_metadata', coalesce(user_metadata, '{}')
)::text

-- name: list
with matching as (
  select
    substr(name, length($2::text) + 1) as rest, o.*
  from storage.objects o
  where bucket_id = $1::text and starts_with(name, $2::text)
), searched as (
  select * from matching where lower(left(rest, length($3::text))) = lower($3::text)
), entries as (
  select
    split_part(rest, '/', 1) as name, null::uuid as id, null::timestamptz as updated_at,
    null::timestamptz as created_at, null::timestamptz as last_accessed_at, null::jsonb as metadata
  from searched where strpos(rest, '/') > 0
  group by 1
  union all
  select rest, id, updated_at, created_at, last_accessed_at, metadata
  from searched where strpos(rest, '/') = 0
), ordered as (
  select *, row_number() over (order by
    case when $4::text <> 'name' then id is null end desc,
    case when $4::text = 'name' and $5::boolean then name end collate "C" desc,
    case when $4::text = 'name' and not $5::boolean then name end collate "C",
    case when $4::text = 'updated_at' and $5::boolean then updated_at end desc nulls last,
    case when $4::text = 'updated_at' and not $5::boolean then updated_at end,
    case when $4::text = 'created_at' and $5::boolean then created_at end desc nulls last,
    case when $4::text = 'created_at' and not $5::boolean then created_at end,
    case when $4::text = 'last_accessed_at' and $5::boolean then last_accessed_at end desc nulls last,
    case when $4::text = 'last_accessed_at' and not $5::boolean then last_accessed_at end,
    name collate "C"
  ) as place
  from entries
)
select coalesce(json_agg(json_build_object(
  'name', name, 'id', id,
  'updated_at', to_char(updated_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  'created_at', to_char(created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  'last_accessed_at', to_char(last_accessed_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  'metadata', metadata
) order by place), '[]')::text
from (select * from ordered order by place limit $6::bigint offset $7::bigint) page

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
  public = coalesce($2::boolean, public), file_size_limit = $3::bigint, allowed_mime_types = $4::text[],
  updated_at = now()
where id = $1::text returning id

-- name: bucket_is_used
select exists (select from storage.objects where bucket_id = $1::text)

-- name: delete_bucket
delete from storage.buckets where id = $1::text returning id

-- name: empty_bucket
delete from storage.objects where bucket_id = $1::text returning version
