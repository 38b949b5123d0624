create table public.boxes (id int primary key, label text not null);
create table public.shelf (
  id int primary key, name text unique, stars int, tags text[], span int4range, facts jsonb, words tsvector,
  box_id int, spare_id int constraint shelf_spare references public.boxes, fragile boolean);
-- Created after the other, so that names and creation differ in order.
alter table public.shelf add foreign key (box_id) references public.boxes on delete restrict;
create table public.marks (
  id int generated always as identity primary key, shelf_id int not null references public.shelf on delete cascade,
  note text, weight int);
create table public.parts (id int primary key, part_of int constraint part references public.parts);
insert into public.parts values (1, null), (2, 1), (3, 1);
create table public.teams (id int primary key);
create table public.agents (id int primary key, team_id int references public.teams);
alter table public.teams add column head_id int references public.agents;
insert into public.boxes values (1, 'oak'), (2, 'pine');
insert into public.shelf values
  (1, 'red cup', 5, '{a,b}', '[1,5)', '{"size": {"cm": 9}, "k": "x"}', to_tsvector('english', 'a fat cat sat'), 1, 2, true),
  (2, 'Blue cup', 3, '{b}', '[5,9)', '{"k": "y"}', to_tsvector('english', 'rats and cats'), 2, null, false),
  (3, 'we,"ird (one)', null, '{}', '[20,30)', '{}', to_tsvector('english', 'a dog'), null, null, null),
  (4, 'a*b_c', 0, '{c}', 'empty', 'null', '', 1, null, true);
insert into public.marks (shelf_id, note, weight) values (1, 'one', 1), (1, 'two', 2), (1, 'three', 3), (2, 'four', 4);
create function public.shelved(at_least int default 0) returns setof public.shelf language sql stable as
  $$ select * from public.shelf where coalesce(stars, 0) >= at_least $$;
create function public.added(numbers int[]) returns bigint language sql immutable as
  $$ select sum(n) from unnest(numbers) as n $$;
create function public.emptied() returns setof public.marks language sql volatile as
  $$ delete from public.marks where weight > 100 returning * $$;
create function public.local_hour() returns timestamptz language sql stable as
  $$ select timestamptz '2026-01-01 12:00+00' $$;
grant all on public.boxes, public.shelf, public.marks, public.parts, public.teams, public.agents to service_role;
