-- The frontend's own database, into which the queue is installed: its eight tables with rows, its function, its
-- triggers and, if the server offers them, its extensions. Run as the project's `postgres`.

do $$ begin
  if exists (select from pg_available_extensions where name = 'uuid-ossp') then
    create extension if not exists "uuid-ossp" with schema extensions;
  else
    raise notice 'this server has no uuid-ossp: keys are made by gen_random_uuid() instead';
  end if;
  if exists (select from pg_available_extensions where name = 'pg_trgm') then
    create extension if not exists pg_trgm with schema extensions;
  else
    raise notice 'this server has no pg_trgm: no index for searches in text';
  end if;
end $$;

create function public.update_updated_at_column() returns trigger language plpgsql as $$
begin
  new.updated_at = now();
  return new;
end $$;

create table public.agents (
  id uuid primary key default gen_random_uuid(),
  name varchar(100) not null,
  type varchar(50) not null check (type in ('monitor', 'detector', 'analyzer', 'verifier', 'reporter', 'coordinator')),
  status varchar(20) not null default 'idle' check (status in ('idle', 'processing', 'complete', 'error')),
  tasks_completed integer default 0,
  current_task text,
  last_active timestamptz default now(),
  metadata jsonb default '{}',
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

create table public.incidents (
  id uuid primary key default gen_random_uuid(),
  incident_id varchar(50) not null unique,
  title text not null,
  description text,
  platform varchar(50)[] not null default '{}',
  severity varchar(20) not null check (severity in ('critical', 'high', 'medium', 'low')),
  status varchar(20) not null default 'active' check (status in ('active', 'investigating', 'resolved', 'dismissed')),
  confidence_score integer check (confidence_score between 0 and 100),
  accounts_involved integer default 0,
  evidence_count integer default 0,
  media_type varchar(20),
  media_url text,
  detected_at timestamptz default now(),
  detected_by_agent_id uuid references public.agents (id),
  metadata jsonb default '{}',
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

create table public.media_files (
  id uuid primary key default gen_random_uuid(),
  incident_id uuid references public.incidents (id) on delete cascade,
  file_name varchar(255) not null,
  file_type varchar(20) not null,
  file_size bigint,
  mime_type varchar(100),
  storage_path text not null,
  thumbnail_url text,
  duration numeric(10, 2),
  resolution varchar(20),
  format varchar(20),
  analyzed boolean default false,
  analysis_result jsonb,
  metadata jsonb default '{}',
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

create table public.detections (
  id uuid primary key default gen_random_uuid(),
  incident_id uuid references public.incidents (id) on delete cascade,
  agent_id uuid references public.agents (id),
  media_file_id uuid references public.media_files (id) on delete cascade,
  detection_type varchar(50) not null
    check (detection_type in ('face-manipulation', 'lip-sync-mismatch', 'audio-anomaly', 'artifact')),
  confidence_score numeric(5, 4) check (confidence_score between 0 and 1),
  timestamp_in_media numeric(10, 2),
  result jsonb default '{}',
  verified boolean default false,
  false_positive boolean default false,
  metadata jsonb default '{}',
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

create table public.network_nodes (
  id uuid primary key default gen_random_uuid(),
  account_id varchar(255) not null,
  platform varchar(50) not null,
  username varchar(255),
  display_name varchar(255),
  follower_count integer default 0,
  threat_level varchar(20),
  bot_probability numeric(5, 4),
  incidents_involved uuid[] default '{}',
  metadata jsonb default '{}',
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  unique (account_id, platform)
);

create table public.network_edges (
  id uuid primary key default gen_random_uuid(),
  source_node_id uuid references public.network_nodes (id) on delete cascade,
  target_node_id uuid references public.network_nodes (id) on delete cascade,
  relationship_type varchar(50) not null
    check (relationship_type in ('follows', 'mentions', 'retweets', 'coordinates_with')),
  strength numeric(5, 4) default 0,
  interaction_count integer default 1,
  incidents_involved uuid[] default '{}',
  metadata jsonb default '{}',
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  unique (source_node_id, target_node_id, relationship_type)
);

create table public.review_queue (
  id uuid primary key default gen_random_uuid(),
  incident_id uuid references public.incidents (id) on delete cascade,
  detection_id uuid references public.detections (id) on delete cascade,
  priority integer default 0,
  status varchar(20) not null default 'pending'
    check (status in ('pending', 'in-review', 'approved', 'rejected', 'needs-info')),
  assigned_to uuid,
  decision text,
  metadata jsonb default '{}',
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

create table public.evidence_chain (
  id uuid primary key default gen_random_uuid(),
  incident_id uuid references public.incidents (id) on delete cascade,
  evidence_type varchar(50) not null
    check (evidence_type in ('detection', 'media_analysis', 'network_analysis', 'manual_review')),
  evidence_source varchar(100) not null,
  evidence_data jsonb not null,
  hash varchar(64) not null,
  previous_evidence_id uuid references public.evidence_chain (id),
  metadata jsonb default '{}',
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

create index incidents_status on public.incidents (status, detected_at desc);
create index detections_incident on public.detections (incident_id);

do $$
declare
  v_table text;
begin
  foreach v_table in array array['agents', 'incidents', 'media_files', 'detections', 'network_nodes', 'network_edges',
                                 'review_queue', 'evidence_chain'] loop
    execute format('create trigger update_%s_updated_at before update on public.%I for each row '
                   'execute function public.update_updated_at_column()', v_table, v_table);
    execute format('alter table public.%I enable row level security', v_table);
    execute format('create policy "everyone reads" on public.%I for select to anon, authenticated using (true)', v_table);
    execute format('grant select on public.%I to anon, authenticated', v_table);
    execute format('grant all on public.%I to service_role', v_table);
    if exists (select from pg_extension where extname = 'uuid-ossp') then
      execute format('alter table public.%I alter column id set default extensions.uuid_generate_v4()', v_table);
    end if;
  end loop;
  if exists (select from pg_extension where extname = 'pg_trgm') then
    create index incidents_title on public.incidents using gin (title extensions.gin_trgm_ops);
  end if;
end $$;
alter publication supabase_realtime add table public.incidents, public.agents;

insert into public.agents (name, type)
  select 'agent ' || n, 'detector' from generate_series(1, 6) n;
insert into public.incidents (incident_id, title, platform, severity, confidence_score, detected_by_agent_id)
  select 'INC-2024-' || lpad(n::text, 3, '0'), 'A face swapped', array['x'], 'high', n,
         (select a.id from public.agents a limit 1)
    from generate_series(1, 20) n;
insert into public.media_files (incident_id, file_name, file_type, storage_path)
  select i.id, 'a.mp4', 'video', 'incidents/' || i.incident_id from public.incidents i;
insert into public.detections (incident_id, media_file_id, detection_type, confidence_score)
  select m.incident_id, m.id, 'face-manipulation', 0.91 from public.media_files m;
insert into public.network_nodes (account_id, platform) select 'account ' || n, 'x' from generate_series(1, 5) n;
insert into public.network_edges (source_node_id, target_node_id, relationship_type)
  select a.id, b.id, 'follows' from public.network_nodes a join public.network_nodes b on a.account_id < b.account_id;
insert into public.review_queue (incident_id, detection_id) select d.incident_id, d.id from public.detections d;
insert into public.evidence_chain (incident_id, evidence_type, evidence_source, evidence_data, hash)
  select i.id, 'detection', 'detector', '{}', encode(sha256(i.id::text::bytea), 'hex') from public.incidents i;

-- Its own line in the ledger of migrations, as `supabase db push` leaves it.
create schema supabase_migrations;
create table supabase_migrations.schema_migrations (version text not null primary key, statements text[], name text);
insert into supabase_migrations.schema_migrations (version, name) values ('20250101000000', 'initial_schema');
