create table public.authors (id int primary key, name text not null, born int);
create table public.publishers (id int primary key, name text not null);
create table public.books (
  id int primary key, title text not null, year int, publisher_id int references public.publishers,
  edited_by int constraint edited references public.authors);
-- A junction: its primary key contains both foreign keys.
create table public.authorships (
  author_id int references public.authors, book_id int references public.books, share int not null,
  primary key (author_id, book_id));
-- No junction: its foreign keys are not part of its primary key.
create table public.reviews (
  id int generated always as identity primary key, author_id int references public.authors,
  publisher_id int references public.publishers);
-- Two junctions between the same tables.
create table public.tags (id int primary key, label text not null);
create table public.shelf_marks (
  tag_id int references public.tags, book_id int references public.books, primary key (tag_id, book_id));
create table public.subjects (
  tag_id int references public.tags, book_id int references public.books, weight int, primary key (book_id, tag_id));
create table public.friends (
  one int constraint friends_one references public.authors, two int constraint friends_two references public.authors,
  primary key (one, two));
insert into public.authors values (1, 'Ada', 1815), (2, 'Bo', 1950), (3, 'Cy', 1980);
insert into public.publishers values (1, 'Oak Press');
insert into public.books values (1, 'Engines', 1843, 1, 3), (2, 'Rivers', 1999, null, null), (3, 'Stones', 2005, 1, null);
insert into public.authorships values (1, 1, 100), (2, 1, 40), (2, 2, 100), (2, 3, 100);
insert into public.tags values (1, 'old'), (2, 'wet');
insert into public.shelf_marks values (1, 1), (2, 2);
insert into public.subjects values (2, 1, 5), (1, 2, 1);
create view public.new_books as select * from public.books where year > 1900;
create function public.first_author(public.books) returns setof public.authors rows 1 language sql stable as
  $$ select a.* from public.authors a join public.authorships s on s.author_id = a.id where s.book_id = $1.id limit 1 $$;
create function public.books_since(since int) returns setof public.books language sql stable as
  $$ select * from public.books where year >= since $$;
create function public.hook(text) returns text language sql immutable as $$ select 'text:' || $1 $$;
create function public.whole(jsonb) returns jsonb language sql immutable as $$ select jsonb_build_array($1) $$;
create function public.size_of(bytea) returns int language sql immutable as $$ select octet_length($1) $$;
create function public.both(text, text) returns text language sql immutable as $$ select $1 || $2 $$;
create function public.overloaded(jsonb) returns text language sql immutable as $$ select 'unnamed' $$;
create function public.overloaded(word text) returns text language sql immutable as $$ select 'named' $$;
create function public.nothing() returns int language sql immutable as $$ select 1 $$;
grant all on public.authors, public.publishers, public.books, public.authorships, public.reviews, public.tags,
  public.shelf_marks, public.subjects, public.friends, public.new_books to service_role;
