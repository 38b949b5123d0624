-- name: list_level
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

-- name: list_page
with matching as (
  select o.*, substr(name, length($2::text) + 1) as rest
  from storage.objects o
  where bucket_id = $1::text and starts_with(name, $2::text)
), split as (
  select *, case when $3::boolean and strpos(rest, '/') > 0 then $2::text || split_part(rest, '/', 1) end as folder
  from matching
), entries as (
  -- A folder sorts where its objects would: "a/" comes after "a.txt" and before "a0".
  select
    folder as name, folder || '/' as place, null::uuid as id, min(created_at) as updated_at,
    min(created_at) as created_at, null::timestamptz as last_accessed_at, null::jsonb as metadata
  from split where folder is not null group by folder
  union all
  select name, name, id, updated_at, created_at, last_accessed_at, metadata
  from split where folder is null
), timed as (
  select *, case $4::text
    when 'updated_at' then date_trunc('milliseconds', updated_at)
    when 'created_at' then date_trunc('milliseconds', created_at)
    else 'epoch'::timestamptz
  end as instant
  from entries
), cursor as (
  select
    coalesce(nullif($7::text, ''), 'epoch')::timestamptz as instant,
    case when exists (select from entries where id is null and name = $6::text) then $6::text || '/' else $6::text end
      as place
), page as (
  select
    timed.*,
    row_number() over (order by
      case when $5::boolean then timed.instant end desc, case when $5::boolean then timed.place end collate "C" desc,
      case when not $5::boolean then timed.instant end, case when not $5::boolean then timed.place end collate "C"
    ) as position
  from timed cross join cursor
  where $6::text = '' or case when $5::boolean
    then (timed.instant, timed.place collate "C") < (cursor.instant, cursor.place collate "C")
    else (timed.instant, timed.place collate "C") > (cursor.instant, cursor.place collate "C")
  end
  order by position limit $8::bigint
)
select coalesce(json_agg(json_build_object(
  'name', name, 'id', id, 'metadata', metadata,
  'updated_at', case when id is not null or $4::text <> 'name' then
    to_char(updated_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') end,
  'created_at', case when id is not null or $4::text <> 'name' then
    to_char(created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') end,
  'last_accessed_at', to_char(last_accessed_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
) order by position), '[]')::text
from page
