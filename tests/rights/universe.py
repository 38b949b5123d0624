"""Everything in the catalog that can be asked about: schemas, tables, columns and functions."""

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.rights.world import BYSTANDER_BUCKET

# The platform's schemas, and the one that these tests add. All others are ours.
FOREIGN_SCHEMAS = ("auth", "storage", "realtime", "_realtime", "extensions", "information_schema", "rights_probe")

_SCHEMAS = "select nspname from pg_namespace where nspname <> all (%s) and nspname not like 'pg\\_%%' order by 1"
_TABLES = """
select n.nspname || '.' || c.relname as name, c.relkind = 'S' as is_sequence, c.relkind = 'v' as is_view,
       coalesce((select array_agg(a.attname::text order by k.place)
                   from pg_index i cross join lateral unnest(i.indkey::int2[]) with ordinality k (attnum, place)
                   join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
                  where i.indrelid = c.oid and i.indisprimary), '{}') as primary_key,
       coalesce((select jsonb_agg(jsonb_build_object(
                   'table', n.nspname || '.' || c.relname, 'name', a.attname,
                   'type', format_type(a.atttypid, null), 'nullable', not a.attnotnull,
                   'required', a.attnotnull and not a.atthasdef and a.attidentity = '') order by a.attnum)
                   from pg_attribute a
                  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and c.relkind <> 'S'),
                '[]') as columns
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = any (%s) and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and not c.relispartition
   -- The sequence of an identity column has no separate rights.
   and not exists (select from pg_depend d
                    where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'i')
 order by 1
"""
_FUNCTIONS = """
select p.oid::regprocedure::text as name, p.proname as short, n.nspname as schema, p.prokind as kind,
       coalesce(p.proargnames[1:p.pronargs], '{}') as arguments,
       array(select format_type(t, null) from unnest(p.proargtypes::oid[]) t) as types
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = any (%s) order by 1
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view; `name` includes its schema.

    Columns are dicts of table, name, type, nullable, required (no default).
    """

    name: str
    is_sequence: bool
    is_view: bool
    primary_key: list[str]
    columns: list[dict[str, Any]]

    @property
    def is_owned(self) -> bool:
        """True if its rows name the user they belong to."""
        return any(column["name"] == "user_id" for column in self.columns)

    def column_type(self, name: str) -> str:
        """Return the SQL type of one column."""
        return str(next(column["type"] for column in self.columns if column["name"] == name))


@dataclass(frozen=True, slots=True)
class Function:
    """A function; `name` is its signature, `kind` pg_proc.prokind."""

    name: str
    short: str
    schema: str
    kind: str
    arguments: list[str]
    types: list[str]

    @property
    def is_for_owners(self) -> bool:
        """True if it acts on one request, given by its id."""
        return self.schema == "public" and self.arguments == ["id"]


def is_not_found(value: Any) -> bool:
    """True if a function for owners did not find the request; `value` is its text, its row, or PostgREST's rows."""
    match value:
        case tuple() | list() if value:
            return is_not_found(value[0])
        case {"reason": reason}:
            return is_not_found(reason)
        case _:
            return bool(value == "not_found")


@dataclass(frozen=True, slots=True)
class Universe:
    """All our objects in one database."""

    schemas: list[str]
    tables: list[Table]
    functions: list[Function]
    buckets: list[str]
    published: list[str]


def survey(connection: psycopg.Connection) -> Universe:
    """Read the catalog of a database."""
    with connection.cursor(row_factory=dict_row) as cursor:
        # Types and signatures then include their schemas.
        cursor.execute("set search_path = ''")
        schemas = [row["nspname"] for row in cursor.execute(_SCHEMAS, [list(FOREIGN_SCHEMAS)])]
        tables = [Table(**row) for row in cursor.execute(_TABLES, [schemas])]
        functions = [
            Function(**(row | {"name": row["name"].replace(",", ", ")}))
            for row in cursor.execute(_FUNCTIONS, [schemas])
        ]
        listing = cursor.execute("select id from storage.buckets where id <> %s order by 1", [BYSTANDER_BUCKET])
        buckets = [row["id"] for row in listing]
        published = cursor.execute(
            "select schemaname || '.' || tablename as name from pg_publication_tables"
            " where pubname = 'supabase_realtime' and schemaname <> 'rights_probe' order by 1"
        )
        names = [row["name"] for row in published]
        cursor.execute("reset search_path")
    return Universe(schemas, tables, functions, buckets, names)
