"""Responses for the services of Supabase that the local one does not have, each in the service's own shape."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sentinel_local_supabase.json_answer import json_answer

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


async def _functions(_: Request) -> Response:
    message = "The local Supabase has no Edge Functions: call the function where you serve it"
    return json_answer({"code": "NOT_FOUND", "message": message}, 404)


async def _graphql(_: Request) -> Response:
    message = "The local Supabase has no GraphQL: use REST"
    return json_answer({"data": None, "errors": [{"message": message}]}, 404)


ABSENT_SERVICES = [
    Route("/functions/v1/{rest:path}", _functions, methods=_METHODS),
    Route("/graphql/v1", _graphql, methods=_METHODS),
]
"""Routes of the absent services."""
