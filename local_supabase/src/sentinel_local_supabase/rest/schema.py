"""Schema cache: relations, foreign keys and functions of the exposed schemas, and the settings of roles.

It is loaded at the first request, on every `notify pgrst`, and (rate-limited) after a miss.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import logging
import time
from dataclasses import dataclass, field
from typing import Any

import psycopg

from sentinel_local_supabase.database import Connection, DatabaseDown, Pool, PoolExhausted, fetch_one
from sentinel_local_supabase.queries import load_queries
from sentinel_local_supabase.rest.rest_errors import RestError

_QUERIES = load_queries("rest/schema.sql")
_RELOAD_ON_MISS_SECONDS = 0.5
_RECONNECT_SECONDS = 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its SQL type, and its default expression."""

    name: str
    type: str
    default: str | None
    sequence: str | None


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view, with its columns by name and the columns of its primary key."""

    schema: str
    name: str
    columns: dict[str, Column]
    primary_key: tuple[str, ...]
    is_view: bool = False


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """`table.columns` refers to `target_table.target_columns`; `unique` makes its reverse one-to-one."""

    name: str
    schema: str
    table: str
    columns: tuple[str, ...]
    target_schema: str
    target_table: str
    target_columns: tuple[str, ...]
    unique: bool


@dataclass(frozen=True, slots=True)
class Argument:
    """An input argument of a function; `name` is empty for an unnamed one."""

    name: str
    type: str
    required: bool
    variadic: bool


@dataclass(frozen=True, slots=True)
class Function:
    """One overload. `returns` is 'void', 'scalar' or 'rows' (a composite).

    `relation` is the (schema, name) of the table or view whose rows it returns, if any.
    `settings` are the function's settings that must apply before its statement starts (`set statement_timeout`).
    """

    schema: str
    name: str
    returns: str
    returns_set: bool
    relation: tuple[str, str] | None
    read_only: bool
    settings: dict[str, str]
    arguments: tuple[Argument, ...]

    def accepts(self, given: set[str]) -> bool:
        """Return True if a call with exactly these argument names fits."""
        names = {argument.name for argument in self.arguments}
        required = {argument.name for argument in self.arguments if argument.required}
        return given <= names and required <= given and ("" not in names or self.unnamed is not None)

    @property
    def unnamed(self) -> Argument | None:
        """Its only argument if that has no name: a call passes the whole body."""
        return self.arguments[0] if len(self.arguments) == 1 and not self.arguments[0].name else None


@dataclass(slots=True)
class Schema:
    """A snapshot of the exposed schemas, the first of which is the default."""

    exposed: tuple[str, ...] = ()
    relations: dict[tuple[str, str], Relation] = field(default_factory=dict)
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    functions: dict[tuple[str, str], list[Function]] = field(default_factory=dict)
    role_settings: dict[str, dict[str, str]] = field(default_factory=dict)


class SchemaCache:
    """The current Schema, kept fresh by `listen`."""

    def __init__(self, pool: Pool, dsn: str, exposed: tuple[str, ...]) -> None:
        self._pool = pool
        self._dsn = dsn
        self._exposed = exposed
        self._schema: Schema | None = None
        self._load_began = 0.0
        self._loading = asyncio.Lock()

    async def current(self) -> Schema:
        """Return the snapshot; load it first if needed. Raises DatabaseDown or PoolExhausted."""
        return self._schema or await self.reload()

    async def reload(self) -> Schema:
        """Return a snapshot whose load began after this call; a load already running may have missed what changed."""
        asked = time.monotonic()
        async with self._loading:
            if self._schema is None or self._load_began <= asked:
                began = time.monotonic()
                self._schema = await self._load()
                self._load_began = began
            return self._schema

    async def after_miss(self) -> Schema:
        """Reload after an unknown name, at most every half second."""
        if time.monotonic() - self._load_began < _RELOAD_ON_MISS_SECONDS:
            return await self.current()
        return await self.reload()

    async def relation(self, schema: str, name: str) -> Relation:
        """Return the relation. Raises PGRST205 with a hint."""
        for look in (self.current, self.after_miss):
            snapshot = await look()
            found = snapshot.relations.get((schema, name))
            if found is not None:
                return found
        near = nearest(name, [key[1] for key in snapshot.relations if key[0] == schema])
        raise RestError(
            404,
            "PGRST205",
            f"Could not find the table '{schema}.{name}' in the schema cache",
            hint=near and f"Perhaps you meant the table '{schema}.{near}'",
        )

    async def overloads(
        self, schema: str, name: str, given: set[str] | None, types: tuple[str, ...] = ()
    ) -> list[Function]:
        """Return the functions called `schema.name` that take exactly the arguments `given`, if any are given.

        Without such, return those whose only argument has no name and one of `types`: it is the whole body.
        """
        for look in (self.current, self.after_miss):
            snapshot = await look()
            named = snapshot.functions.get((schema, name), [])
            fitting = [one for one in named if given is not None and one.accepts(given)]
            fitting = fitting or [one for one in named if one.unnamed and one.unnamed.type in types]
            if fitting:
                return fitting
        return []

    async def nearest_function(self, schema: str, name: str) -> str | None:
        """Return the most similar function name, for a hint."""
        snapshot = await self.current()
        return nearest(name, [key[1] for key in snapshot.functions if key[0] == schema and key[1] != name])

    async def listen(self) -> None:
        """Reload on every `notify pgrst`, forever."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as connection:
                    await connection.execute("listen pgrst")
                    await self.reload()
                    async for _ in connection.notifies():
                        await self.reload()
            except (psycopg.Error, DatabaseDown, PoolExhausted) as error:
                _log.debug("the schema cache lost its connection: %s", error)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _load(self) -> Schema:
        async with self._pool.transaction() as connection:
            # Otherwise the tables could be those before a migration, and the functions those after it.
            await connection.execute("set transaction isolation level repeatable read, read only")
            parts: dict[str, Any] = {"role_settings": await _fetch(connection, "role_settings", [])}
            exposed = _exposed(parts["role_settings"]) or self._exposed
            for name in [name for name in _QUERIES if name not in parts]:
                parts[name] = await _fetch(connection, name, [list(exposed)])
        schema = _snapshot(parts)
        schema.exposed = exposed
        return schema


async def _fetch(connection: Connection, name: str, parameters: list[Any]) -> Any:
    row = await fetch_one(connection, _QUERIES[name], parameters)
    assert row is not None
    return json.loads(row[0])


def _exposed(role_settings: dict[str, list[str]]) -> tuple[str, ...]:
    """Return the schemas of `alter role authenticator set pgrst.db_schemas = …`; none if it is not set."""
    settings = dict(setting.split("=", 1) for setting in role_settings.get("authenticator", []))
    names = (name.strip() for name in settings.get("pgrst.db_schemas", "").split(","))
    return tuple(name for name in names if name)


def _snapshot(parts: dict[str, Any]) -> Schema:
    schema = Schema()
    for row in parts["relations"]:
        columns = {column["name"]: Column(**column) for column in row["columns"]}
        relation = Relation(row["schema"], row["name"], columns, tuple(row["primary_key"]), row["is_view"])
        schema.relations[relation.schema, relation.name] = relation
    for row in parts["foreign_keys"]:
        row["columns"], row["target_columns"] = tuple(row["columns"]), tuple(row["target_columns"])
        schema.foreign_keys.append(ForeignKey(**row))
    for row in parts["functions"]:
        row["arguments"] = tuple(Argument(**argument) for argument in row["arguments"])
        row["relation"] = row["relation"] and tuple(row["relation"])
        schema.functions.setdefault((row["schema"], row["name"]), []).append(Function(**row))
    for role, settings in parts["role_settings"].items():
        pairs = (setting.partition("=") for setting in settings)
        schema.role_settings[role] = {name: value for name, _, value in pairs}
    return schema


def nearest(name: str, candidates: list[str]) -> str | None:
    """Return the candidate most similar to `name`, None if none is similar."""
    return next(iter(difflib.get_close_matches(name, candidates, n=1, cutoff=0.75)), None)
