"""Questions as SQL: each is a real statement in a transaction as PostgREST opens it, and is rolled back."""

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql

from tests.rights.matrix import Matrix
from tests.rights.session import Answer, Counts, Session, count_rows, letter_of_rows, relation
from tests.rights.universe import Function, Table, Universe, is_not_found
from tests.rights.world import REQUEST_A, REQUESTS_B, USER_A, USER_B, WORKER, Identity, sample, sql_value


class SqlQuestions:
    """All questions to one identity."""

    def __init__(self, session: Session, superuser: psycopg.Connection, universe: Universe) -> None:
        self._session = session
        self._who = session.identity
        self._superuser = superuser
        self._universe = universe
        self._matrix = Matrix()

    def ask_all(self) -> Matrix:
        """Ask about schemas, tables, columns and functions."""
        for schema in self._universe.schemas:
            self._schema(schema)
        for table in self._universe.tables:
            counts = count_rows(self._superuser, table)
            for letter, statement in table_statements(table):
                self._rows("tables", table.name, letter, self._ask(statement), counts)
            for column in table.columns:
                self._column(table, column, counts)
        for function in self._universe.functions:
            self._function(function)
        return self._matrix

    def _ask(self, statement: str | sql.Composed, *parameters: Any) -> Answer:
        self._matrix.asked += 1
        return self._session.ask(statement, *parameters)

    def _add(self, section: str, name: str, letter: str | None, answer: Answer) -> None:
        if letter is None or not (answer.is_refused or answer.is_passed):
            self._matrix.unclear.append(
                f"{self._who.name} on {section} {name}: {answer.rows} rows, {answer.state} {answer.message}"
            )
        self._matrix.add(section, name, self._who.name, letter or "")

    def _rows(self, section: str, name: str, letter: str, answer: Answer, counts: Counts) -> None:
        found: str | None = "" if answer.is_refused else letter
        if answer.state is None and letter in "SUD":
            found = letter_of_rows(letter, answer.rows, counts, self._who)
        self._add(section, name, found, answer)

    def _schema(self, schema: str) -> None:
        # A missing name: only roles with USAGE learn that it is missing.
        looked = self._ask(sql.SQL("table {}").format(sql.Identifier(schema, "rights_probe_nothing")))
        found = {"42P01": "X", "42501": ""}.get(looked.state or "")
        if found is None:
            self._add("schemas", schema, None, looked)
        else:
            self._matrix.add("schemas", schema, self._who.name, found)
        made = self._ask(sql.SQL("create table {} ()").format(sql.Identifier(schema, "rights_probe_made")))
        self._add("schemas", schema, "" if made.is_refused else "C", made)

    def _column(self, table: Table, column: dict[str, Any], counts: Counts) -> None:
        name, target = f"{table.name}.{column['name']}", relation(table.name)
        identifier = sql.Identifier(column["name"])
        read = self._ask(sql.SQL("select {} from {}").format(identifier, target))
        self._rows("columns", name, "S", read, counts)
        if table.is_view:
            return
        own, foreign = (self._ask(*insertion(table, column, self._who, owner)) for owner in self._owners())
        found = "" if own.is_refused else "i" if foreign.is_refused else "I"
        self._add("columns", name, found, own if own.is_refused else foreign)
        value = sql_value(sample(column, self._who.user or USER_A), column["type"])
        change = sql.SQL("update {} set {} = %s::").format(target, identifier) + sql.SQL(column["type"])
        self._rows("columns", name, "U", self._ask(change, value), counts)

    def _owners(self) -> tuple[str, str]:
        return (USER_B, USER_A) if self._who.user == USER_B else (USER_A, USER_B)

    def _function(self, function: Function) -> None:
        if not function.is_for_owners:
            answer = self._ask(call(function))
            self._add("functions", function.name, "" if answer.is_refused else "X", answer)
            return
        own, foreign = (
            self._ask(call(function, request=request))
            for request in ((REQUESTS_B[0], REQUEST_A) if self._who.user == USER_B else (REQUEST_A, REQUESTS_B[0]))
        )
        found: str | None = "" if own.is_refused else "x" if is_not_found(foreign.value) else "X"
        if found and self._who.user and is_not_found(own.value):
            found = None
        self._add("functions", function.name, found, own)


def table_statements(table: Table) -> Iterator[tuple[str, sql.Composed]]:
    """Yield a statement for each right on a whole table."""
    target = relation(table.name)
    if table.is_sequence:
        yield "S", sql.SQL("select last_value from {}").format(target)
        yield "U", sql.SQL("select nextval({}::regclass)").format(sql.Literal(table.name))
        return
    yield "S", sql.SQL("select * from {}").format(target)
    if table.is_view:
        return
    yield "D", sql.SQL("delete from {}").format(target)
    yield "T", sql.SQL("truncate {}").format(target)
    yield "M", sql.SQL("reindex table {}").format(target)
    yield (
        "G",
        sql.SQL(
            "create trigger rights_probe before update on {} for each row"
            " execute function pg_catalog.suppress_redundant_updates_trigger()"
        ).format(target),
    )
    if table.primary_key:
        keys = sql.SQL(", ").join(map(sql.Identifier, table.primary_key))
        columns = sql.SQL(", ").join(
            sql.SQL("{} " + table.column_type(name)).format(sql.Identifier(name)) for name in table.primary_key
        )
        yield (
            "R",
            sql.SQL("create table rights_probe.made ({}, foreign key ({}) references {} ({}))").format(
                columns, keys, target, keys
            ),
        )


def insertion(table: Table, column: dict[str, Any], who: Identity, owner: str) -> tuple[Any, ...]:
    """Return an INSERT of `column` and the required columns, with its parameters; the row is to be `owner`'s."""
    row = new_row(table, column, who, owner)
    types = [table.column_type(name) for name in row]
    values = sql.SQL(", ").join(sql.SQL("%s::" + type_name) for type_name in types)
    names = sql.SQL(", ").join(map(sql.Identifier, row))
    statement = sql.SQL("insert into {} ({}) values ({})").format(relation(table.name), names, values)
    return (statement, *(sql_value(value, t) for value, t in zip(row.values(), types, strict=True)))


def new_row(table: Table, column: dict[str, Any], who: Identity, owner: str) -> dict[str, Any]:
    """Return the minimal new row with `column`. Users leave the owner of their own rows to the default."""
    needed = {c["name"]: c for c in table.columns if c["required"]} | {column["name"]: column}
    if table.is_owned and owner != who.user and "user_id" not in needed:
        needed["user_id"] = next(c for c in table.columns if c["name"] == "user_id")
    if table.name == "public.analysis_requests" and not needed.keys() & {"storage_path", "source_url"}:
        needed["storage_path"] = next(c for c in table.columns if c["name"] == "storage_path")
    return {name: sample(one, owner) for name, one in needed.items()}


def call(function: Function, *, request: str | None = None) -> str:
    """Return a call with arguments of the right types: the seeded worker's name, a request's id, otherwise null."""
    if request is not None:
        return f"select {function.name.partition('(')[0]}('{request}')"
    values = [f'\'{{"worker": "{WORKER}"}}\'::jsonb' if t == "jsonb" else f"null::{t}" for t in function.types]
    verb = "call" if function.kind == "p" else "select"
    return f"{verb} {function.name.partition('(')[0]}({', '.join(values)})"
