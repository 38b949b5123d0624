"""`make types`: the database as a signed-in user of supabase-js sees it, as TypeScript, from the live schema.

It reads the catalogue: tables and views that the role `authenticated` may select, the columns that it may insert, the
functions that it may execute, the values that CHECK constraints allow, and comments. Stages and codes of errors come
from the worker. `python -m deploy.frontend_types` starts a PostgreSQL of its own, applies the migrations, and writes
`examples/web/src/sentinel/schema.ts`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

import psycopg
from psycopg.rows import dict_row

from deploy.error_params import params_by_code
from sentinel_local_supabase.postgres import Postgres
from sentinel_worker.database import migrate
from sentinel_worker.domain.error_codes import OF_REQUESTS
from sentinel_worker.domain.request import Stage

ROOT: Final = Path(__file__).parents[1]
SCHEMA: Final = ROOT / "examples" / "web" / "src" / "sentinel" / "schema.ts"
QUERIES: Final = Path(__file__).with_name("frontend_types.sql").read_text(encoding="utf-8").split("\n-- next\n")

JSON_COLUMNS: Final = {
    "analysis_requests.options": "Options",
    "analysis_requests.error_params": "ErrorParams",
    "analysis_results.detector": "DetectorFacts",
    "analysis_results.timeline": "TimelineWindow[]",
    "analysis_results.faces": "Faces",
    "analysis_results.frames": "TrackJudgement",
    "analysis_results.audio": "Sound",
    "analysis_results.media": "MediaFacts",
    "analysis_results.derived": "Derived",
    "analysis_results.timings": "Timings",
}
"""Types of the JSON columns, in json.ts; `ErrorParams` is made here."""
RETURNS: Final = {
    "cancel_analysis": "Status | 'cancelling' | 'not_found'",
    "retry_analysis": "Status | 'not_found'",
    "delete_analysis": "'deleted' | 'not_found'",
    "analysis_wait.reason":
        "'turn' | 'paused' | 'no_worker' | 'own_limit' | 'scheduled' | 'running' | 'finished' | 'not_found'",
}  # fmt: skip
"""Texts that functions return, also in a column of their rows; docs/frontend.md lists them, too."""
NEVER_NULL: Final = {
    "analysis_quota": {
        "open_requests", "requests_last_hour", "compute_seconds_last_hour", "stored_bytes", "retries_last_hour",
    },
    "analysis_wait": {"reason"},
}  # fmt: skip
"""Columns of functions' rows that are never null, which the catalogue does not know."""
UNIONS: Final = {"status": "Status", "media_kind": "MediaKind", "verdict": "Verdict", "verdict_reason": "VerdictReason"}
"""Names of the unions that CHECK constraints make of text columns."""
OTHERS: Final = {"stage": "Stage", "error_code": "ErrorCode"}
"""Names of the unions whose values the worker knows."""
NOTHING: Final = "{ [_ in never]: never }"
SCALARS: Final = {
    "bool": "boolean", "int2": "number", "int4": "number", "int8": "number", "float8": "number", "numeric": "number",
    "text": "string", "uuid": "string", "timestamptz": "string", "interval": "string", "void": "undefined",
}  # fmt: skip
"""What PostgREST makes of types."""


class Column(NamedTuple):
    """A column of a table, a view or a function's rows."""

    relation: str
    name: str
    type: str
    nullable: bool
    insertable: bool = False
    required: bool = False
    comment: str | None = None


class UntypedError(Exception):
    """The schema has something that no type is known for; the message names the table that needs a row."""


def render(connection: psycopg.Connection[Any]) -> str:
    """Return the module for the schema of this database. Raises UntypedError."""
    read = connection.cursor(row_factory=dict_row)
    columns, functions, checks, keys = (read.execute(query.encode()).fetchall() for query in QUERIES)
    values = _values(row["definition"] for row in checks)
    tables: dict[tuple[str, bool], list[Column]] = {}
    for row in columns:
        tables.setdefault((row["relation"], row.pop("is_view")), []).append(Column(**row))
    relations = {kind: [(n, c) for (n, view), c in tables.items() if view == kind] for kind in (False, True)}
    return "\n".join([
        "// Made by `make types` from the live schema: do not edit.",
        f"import type {{ {', '.join(sorted(_imported()))} }} from './json'",
        "",
        *(_union(name, values[column]) for column, name in UNIONS.items()),
        _union("Stage", get_args(Stage)),
        "/** Codes of failed requests; workers of other versions may write others (docs/operations.md). */",
        _union("KnownErrorCode", sorted(OF_REQUESTS)),
        "export type ErrorCode = KnownErrorCode | (string & Record<never, never>)",
        "",
        *_error_params(),
        "",
        "export type Database = {",
        "  public: {",
        *_block("    Tables", [line for name, found in relations[False] for line in _table(name, found, keys)]),
        *_block("    Views", [line for name, found in relations[True] for line in _table(name, found, keys)]),
        *_block("    Functions", [line for row in functions for line in _function(row)]),
        f"    Enums: {NOTHING}",
        f"    CompositeTypes: {NOTHING}",
        "  }",
        "}",
        "",
    ])  # fmt: skip


def main() -> None:
    """Write the module for the migrations of this checkout."""
    with tempfile.TemporaryDirectory() as folder, Postgres(Path(folder) / "postgres", durable=False) as server:
        migrate.apply(server.dsn("postgres"))
        with psycopg.connect(server.dsn("supabase_admin")) as connection:
            SCHEMA.write_text(render(connection), encoding="utf-8")
    print(f"wrote {SCHEMA.relative_to(ROOT)}")


def _values(definitions: Iterable[str]) -> Mapping[str, list[str]]:
    """Return the values that the constraints allow for each column that they name."""
    found: dict[str, dict[str, None]] = {}
    lists = re.findall(r"(\w+) = ANY \(ARRAY\[(.*?)\]\)", "\n".join(definitions))
    for column, array in sorted(lists, key=lambda pair: -len(pair[1])):  # the longest names all, in the best order
        found.setdefault(column, {}).update(dict.fromkeys(re.findall(r"'([^']*)'::text", array)))
    return {column: list(values) for column, values in found.items()}


def _union(name: str, values: Iterable[str]) -> str:
    return f"export type {name} =" + "".join(f"\n  | '{value}'" for value in values)


def _imported() -> set[str]:
    return {name.removesuffix("[]") for name in JSON_COLUMNS.values()} - {"ErrorParams"}


def _error_params() -> list[str]:
    """Return the type of `error_params`: the keys of each code, each with the types that are passed for it."""
    lines = ["/** Keys of `error_params` by `error_code`. */", "export interface ErrorParamsByCode {"]
    for code, params in sorted(params_by_code().items()):
        inner = "; ".join(f"{key}: {kind}" for key, kind in sorted(params.items()))
        lines.append(f"  {code}: {{ {inner} }}")
    return [
        *lines,
        "}",
        "type KeysOf<Union> = Union extends unknown ? keyof Union : never",
        "/** Values in the sentence `error_message`, for translations; `ErrorParamsByCode` says which a code has. */",
        "export type ErrorParams = {",
        "  [Key in KeysOf<ErrorParamsByCode[keyof ErrorParamsByCode]>]?: string | number | null",
        "}",
    ]


def _block(name: str, lines: list[str]) -> list[str]:
    return [f"{name}: {{", *lines, f"{name[: len(name) - len(name.lstrip())]}}}"] if lines else [
        f"{name}: {NOTHING}"
    ]  # fmt: skip


def _table(name: str, columns: list[Column], keys: list[dict[str, Any]]) -> list[str]:
    inputs = [column for column in columns if column.insertable]
    lines = [f"      {name}: {{", "        Row: {"]
    for column in columns:
        if column.comment:
            lines.append(f"          /** {column.comment} */")
        lines.append(f"          {column.name}: {_type(column)}")
    lines.append("        }")
    if inputs:
        lines.append("        Insert: {")
        lines += [f"          {c.name}{'' if c.required else '?'}: {_type(c, is_input=True)}" for c in inputs]
        lines.append("        }")
    else:
        lines.append("        Insert: Record<string, never>")
    related = [key for key in keys if key["relation"] == name]
    lines.append("        Update: Record<string, never>")
    lines += _relationships(related)
    return [*lines, "      }"]


def _relationships(keys: list[dict[str, Any]]) -> list[str]:
    if not keys:
        return ["        Relationships: []"]
    lines = ["        Relationships: ["]
    for key in keys:
        lines += [
            "          {",
            f"            foreignKeyName: '{key['name']}'",
            f"            columns: [{', '.join(repr(column) for column in key['columns'])}]",
            f"            isOneToOne: {str(key['one_to_one']).lower()}",
            f"            referencedRelation: '{key['referenced']}'",
            f"            referencedColumns: [{', '.join(repr(column) for column in key['referenced_columns'])}]",
            "          },",
        ]
    return [*lines, "        ]"]


def _function(row: Mapping[str, Any]) -> list[str]:
    name: str = row["name"]
    arguments = "; ".join(f"{key}: {_scalar(name, kind)}" for key, kind in row["arguments"])
    lines = [f"      /** {row['comment']} */"] if row["comment"] else []
    lines += [f"      {name}: {{", f"        Args: {{ {arguments} }}" if arguments else "        Args: never"]
    if row["columns"]:
        lines.append("        Returns: {")
        for key, kind in row["columns"]:
            null = "" if key in NEVER_NULL.get(name, ()) else " | null"
            lines.append(f"          {key}: {RETURNS.get(f'{name}.{key}') or _scalar(name, kind)}{null}")
        return [*lines, "        }[]", "      }"]
    return [*lines, f"        Returns: {RETURNS.get(name) or _scalar(name, row['returns'])}", "      }"]


def _type(column: Column, *, is_input: bool = False) -> str:
    null = " | null" if column.nullable or (is_input and not column.required) else ""
    if column.type in {"json", "jsonb"}:
        key = f"{column.relation}.{column.name}"
        if key not in JSON_COLUMNS:
            raise UntypedError(f"name a type for the JSON column {key} in JSON_COLUMNS")
        return JSON_COLUMNS[key] + null
    named = UNIONS.get(column.name) or OTHERS.get(column.name)
    return (named or _scalar(column.relation, column.type)) + null


def _scalar(where: str, kind: str) -> str:
    if kind.startswith("_"):
        return f"{_scalar(where, kind[1:])}[]"
    if kind not in SCALARS:
        raise UntypedError(f"name a type for {kind}, which {where} has, in SCALARS")
    return SCALARS[kind]


if __name__ == "__main__":
    main()
