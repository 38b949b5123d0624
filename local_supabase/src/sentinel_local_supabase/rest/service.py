"""REST: the part of PostgREST 14 that supabase-js and supabase-py use, on Starlette and psycopg.

A request is parsed, compiled to one SQL statement and run in one transaction as the caller's role. The response
body is the JSON that PostgreSQL built.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Self

import psycopg
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sentinel_local_supabase.database import Connection, DatabaseDown, Pool, PoolExhausted, fetch_one
from sentinel_local_supabase.queries import load_queries
from sentinel_local_supabase.rest.answer import Outcome, call_response, change_response, read_response
from sentinel_local_supabase.rest.call import call_statement
from sentinel_local_supabase.rest.compiler import MAX_ROWS
from sentinel_local_supabase.rest.overloads import find_function
from sentinel_local_supabase.rest.request import RestRequest, read_request
from sentinel_local_supabase.rest.rest_errors import RestError, from_database, from_outage, from_token
from sentinel_local_supabase.rest.schema import SchemaCache
from sentinel_local_supabase.rest.statements import (
    Statement,
    delete_statement,
    insert_statement,
    plan_statement,
    read_payload,
    refused_put,
    select_statement,
    update_statement,
)
from sentinel_local_supabase.tokens import TokenRefused, bearer, verify

_QUERIES = load_queries("rest/preferences.sql")
SKEW_SECONDS = 30.0
_POOL_SIZE = 10

Service = Callable[[Request, str, dict[str, Any]], Awaitable[Response]]


class Rest:
    """The service behind /rest/v1: an async context manager; mount `routes` there while it is open.

    `dsn` logs in as authenticator; `exposed` are the schemas to serve, the first by default.
    """

    def __init__(self, dsn: str, jwt_secret: str, exposed: tuple[str, ...]) -> None:
        self._pool = Pool(dsn, size=_POOL_SIZE)
        self._cache = SchemaCache(self._pool, dsn, exposed)
        self._jwt_secret = jwt_secret
        self._listening: asyncio.Task[None] | None = None
        every = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"]
        self.routes: list[BaseRoute] = [
            Route("/", self._answering(self._root), methods=["GET", "HEAD"]),
            Route("/rpc/{name:path}", self._answering(self._rpc), methods=every),
            Route("/{name:path}", self._answering(self._relation), methods=every),
        ]

    async def __aenter__(self) -> Self:
        self._listening = asyncio.create_task(self._cache.listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listening is not None
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        await self._pool.close()

    def _answering(self, service: Service) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            role = "anon"
            try:
                claims = self._claims(request)
                role = claims["role"]
                return await service(request, role, claims)
            except RestError as error:
                answer = error
            except TokenRefused as refused:
                answer = from_token(refused)
            except (DatabaseDown, PoolExhausted) as error:
                answer = from_outage(error)
            except psycopg.Error as error:
                answer = from_database(error, role=role)
            return answer.response(head=request.method == "HEAD")

        return endpoint

    def _claims(self, request: Request) -> dict[str, Any]:
        token = bearer(request.headers.get("authorization"))
        claims = {} if token is None else verify(token, self._jwt_secret, skew_seconds=SKEW_SECONDS)
        role = claims.get("role", "anon")
        return {**claims, "role": role if isinstance(role, str) else json.dumps(role)}

    async def _root(self, request: Request, role: str, claims: dict[str, Any]) -> Response:
        document = {"swagger": "2.0", "info": {"title": "standard public schema"}, "paths": {}}
        return JSONResponse(document, media_type="application/openapi+json; charset=utf-8")

    async def _relation(self, request: Request, role: str, claims: dict[str, Any]) -> Response:
        asked = await self._read(request)
        relation = await self._cache.relation(asked.schema, request.path_params["name"])
        schema = await self._cache.current()
        if asked.method in ("GET", "HEAD"):
            statement = select_statement(schema, relation, asked)
            async with self._transaction(request, asked, claims, read_only=True) as connection:
                outcome = await _run(connection, statement)
                if asked.preferences.get("count") in ("planned", "estimated"):
                    plan = plan_statement(schema, relation, asked)
                    outcome = await _estimated(connection, outcome, plan, asked.preferences.get("count"))
                return read_response(asked, outcome)
        if asked.method == "DELETE":
            statement = delete_statement(schema, relation, asked)
        elif asked.method == "PUT":
            raise refused_put(relation, asked)
        else:
            payload = read_payload(relation, asked)
            compile_change = insert_statement if asked.method == "POST" else update_statement
            statement = compile_change(schema, relation, asked, payload)
        async with self._transaction(request, asked, claims, read_only=False) as connection:
            # Raise inside the transaction (too many rows for an object), so that the change is rolled back.
            return change_response(asked, relation, await _run(connection, statement))

    async def _rpc(self, request: Request, role: str, claims: dict[str, Any]) -> Response:
        if request.method not in ("GET", "HEAD", "POST"):
            raise RestError(405, "PGRST101", f"Cannot use the {request.method} method on RPC")
        reading = request.method != "POST"
        asked = await self._read(request, calls=True)
        function = await find_function(self._cache, request.path_params["name"], asked)
        statement = call_statement(await self._cache.current(), function, asked)
        read_only = reading or function.read_only
        async with self._transaction(request, asked, claims, function.settings, read_only=read_only) as connection:
            return call_response(asked, function, await _run(connection, statement))

    async def _read(self, request: Request, *, calls: bool = False) -> RestRequest:
        schema = await self._cache.current()
        asked = await read_request(request, schema.exposed, calls=calls)
        if (zone := asked.preferences.get("timezone")) is not None:
            async with self._pool.connection() as connection:
                if await fetch_one(connection, _QUERIES["timezone"], [zone]) is None:
                    asked.preferences = asked.preferences.refuse("timezone")
        return asked

    @asynccontextmanager
    async def _transaction(
        self,
        request: Request,
        asked: RestRequest,
        claims: dict[str, Any],
        own_settings: Mapping[str, str] = MappingProxyType({}),
        *,
        read_only: bool,
    ) -> AsyncIterator[Connection]:
        schema = await self._cache.current()
        role = claims["role"]
        path = (asked.schema, "public", "extensions")
        settings = {
            "search_path": ", ".join(f'"{name}"' for name in path),
            "request.jwt.claims": json.dumps(claims),
            "request.headers": json.dumps(asked.headers),
            "request.cookies": json.dumps(request.cookies),
            "request.method": request.method,
            "request.path": request.url.path.removeprefix("/rest/v1"),
            **schema.role_settings.get(role, {}),
            **own_settings,
        }
        if (zone := asked.preferences.get("timezone")) is not None:
            settings["timezone"] = zone
        if read_only:
            settings["transaction_read_only"] = "on"
        async with self._pool.transaction({**settings, "role": role}) as connection:
            yield connection


async def _run(connection: Connection, statement: Statement) -> Outcome:
    row = await fetch_one(connection, statement.text, statement.values)
    assert row is not None
    return Outcome(*row)


async def _estimated(connection: Connection, outcome: Outcome, plan: Statement, count: str | None) -> Outcome:
    if count == "estimated" and outcome.total is not None and outcome.total <= MAX_ROWS:
        return outcome
    row = await fetch_one(connection, plan.text, plan.values)
    assert row is not None
    return outcome.with_total(int(row[0][0]["Plan"]["Plan Rows"]))
