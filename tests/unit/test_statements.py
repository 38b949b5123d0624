"""The bare text of SQL files: equal however a file was split, different as soon as it says something else."""

import pytest

from sentinel_worker.database import migrate, statements

TEXT = """-- why; not
create table t (name text default 'a -- b;  c', "odd /* name" int);

create function f() returns text language plpgsql as $body$
begin
  -- don't
  return e'it\\'s' || $$ ; $$;  /* done */
end $body$;
"""


@pytest.mark.parametrize("migration", migrate.available(), ids=lambda migration: migration.name)
def test_how_a_file_was_split_makes_no_difference(migration: migrate.Migration) -> None:
    bare = statements.bare(migration.text)
    parts = [part.text for part in statements.split(migration.text)]
    without_comments = [part.text[part.code :] for part in statements.split(migration.text)]
    assert bare == statements.bare(";\n".join(parts))
    assert bare == statements.bare(";\n".join(without_comments))
    assert bare == statements.bare(migration.text.replace("\n", "\r\n"))


@pytest.mark.parametrize(
    ("old", "new"),
    [("-- why; not\n", ""), ("-- don't\n", "-- do\n"), ("/* done */", ""), ("\nbegin", "  begin"), (";\n\n", ";\n;")],
)
def test_comments_and_white_space_make_no_difference(old: str, new: str) -> None:
    assert old in TEXT
    assert statements.bare(TEXT.replace(old, new)) == statements.bare(TEXT)


@pytest.mark.parametrize(
    ("old", "new"),
    [("-- b", "-- x"), (";  c'", ",  c'"), ("/* name", "/* other"), ("it\\'s", "its"), ("return", "raise")],
)
def test_everything_else_does(old: str, new: str) -> None:
    assert old in TEXT
    assert statements.bare(TEXT.replace(old, new)) != statements.bare(TEXT)
