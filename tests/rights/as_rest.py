"""The same questions over HTTP on /rest/v1, with each role's key or JWT. Changes are undone."""

from typing import Any

import httpx
import psycopg

from tests.rights.as_sql import new_row
from tests.rights.matrix import Matrix
from tests.rights.session import PASSED, Counts, count_rows, letter_of_rows
from tests.rights.universe import Function, Table, Universe, is_not_found
from tests.rights.world import REQUEST_A, REQUESTS_B, USER_A, USER_B, WORKER, Identity, sample, seed

LETTERS = "SIUDX"
# SQLSTATE or PostgREST code of a refusal, with its status. For anon 42501 is a 401.
REFUSALS = {"42501": (401, 403), "428C9": (400,), "PGRST202": (404,), "PGRST205": (404,), "PGRST106": (406,)}


class RestQuestions:
    """All questions to one identity. `client` has the gateway's URL as its base and sends the identity's headers."""

    def __init__(
        self, client: httpx.AsyncClient, identity: Identity, superuser: psycopg.Connection, universe: Universe
    ) -> None:
        self._client = client
        self._who = identity
        self._superuser = superuser
        self._universe = universe
        self._matrix = Matrix()

    async def ask_all(self) -> Matrix:
        """Ask about tables, columns and functions."""
        for table in self._universe.tables:
            counts = count_rows(self._superuser, table)
            await self._rows("tables", table.name, "S", table, counts)
            if not table.is_view:
                await self._rows("tables", table.name, "D", table, counts)
            for column in table.columns:
                name = f"{table.name}.{column['name']}"
                await self._rows("columns", name, "S", table, counts, select=column["name"])
                if table.is_view:
                    continue
                await self._insert(name, table, column)
                change = {column["name"]: sample(column, self._who.user or USER_A)}
                await self._rows("columns", name, "U", table, counts, body=change)
        for function in self._universe.functions:
            await self._function(function)
        return self._matrix

    async def _ask(self, method: str, name: str, **arguments: Any) -> httpx.Response:
        """Ask for `schema.name`; if the schema is not exposed, also for the bare name, which must not help."""
        schema, _, short = name.partition(".")
        url = f"/rest/v1/{arguments.pop('prefix', '')}{short}"
        profile = {"Accept-Profile": schema, "Content-Profile": schema}
        prefer = {"Prefer": "count=exact, return=minimal"}
        self._matrix.asked += 1 if schema == "public" else 2
        answer = await self._client.request(method, url, headers=profile | prefer, **arguments)
        if schema != "public":
            bare = await self._client.request(method, url, headers=prefer, **arguments)
            if not is_refused(bare):
                return bare
        if method != "GET" and answer.is_success:
            seed(self._superuser)
        return answer

    async def _rows(
        self, section: str, name: str, letter: str, table: Table, counts: Counts, *, select: str = "*", body: Any = None
    ) -> None:
        method = {"S": "GET", "U": "PATCH", "D": "DELETE"}[letter]
        parameters = {"select": select} if letter == "S" else {}
        answer = await self._ask(method, table.name, params=parameters, json=body)
        found: str | None = "" if is_refused(answer) else letter
        if answer.is_success:
            rows = len(answer.json()) if letter == "S" else int(answer.headers["content-range"].rpartition("/")[2])
            found = letter_of_rows(letter, rows, counts, self._who)
        self._add(section, name, found, answer)

    async def _insert(self, name: str, table: Table, column: dict[str, Any]) -> None:
        own_id, foreign_id = (USER_B, USER_A) if self._who.user == USER_B else (USER_A, USER_B)
        own = await self._ask("POST", table.name, json=new_row(table, column, self._who, own_id))
        foreign = await self._ask("POST", table.name, json=new_row(table, column, self._who, foreign_id))
        self._add("columns", name, "" if is_refused(own) else "i" if is_refused(foreign) else "I", own)

    async def _function(self, function: Function) -> None:
        name = f"{function.schema}.{function.short}"
        if not function.is_for_owners:
            body = {key: {"worker": WORKER} if key == "args" else None for key in function.arguments}
            answer = await self._ask("POST", name, prefix="rpc/", json=body)
            self._add("functions", function.name, "" if is_refused(answer) else "X", answer)
            return
        own_id, foreign_id = (REQUESTS_B[0], REQUEST_A) if self._who.user == USER_B else (REQUEST_A, REQUESTS_B[0])
        own = await self._ask("POST", name, prefix="rpc/", json={"id": own_id})
        foreign = await self._ask("POST", name, prefix="rpc/", json={"id": foreign_id})
        found: str | None = "" if is_refused(own) else "x" if is_not_found(foreign.json()) else "X"
        if found and self._who.user and is_not_found(own.json()):
            found = None
        self._add("functions", function.name, found, own)

    def _add(self, section: str, name: str, letter: str | None, answer: httpx.Response) -> None:
        if letter is None or not (answer.is_success or is_refused(answer) or is_passed(answer)):
            line = f"{self._who.name}, {answer.request.method} on {section} {name}: {answer.status_code} {answer.text}"
            self._matrix.unclear.append(line)
        self._matrix.add(section, name, self._who.name, letter or "")


def code_of(answer: httpx.Response) -> str:
    """Return the SQLSTATE or PostgREST code of an error."""
    return "" if answer.is_success else str(answer.json()["code"])


def is_refused(answer: httpx.Response) -> bool:
    """Return True if missing rights or an unexposed schema refused the call, with the matching status."""
    return answer.status_code in REFUSALS.get(code_of(answer), ())


def is_passed(answer: httpx.Response) -> bool:
    """Return True if only a rule of the table or function refused the call."""
    return answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR and code_of(answer).startswith(PASSED)
