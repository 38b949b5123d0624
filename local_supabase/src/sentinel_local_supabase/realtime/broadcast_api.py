"""Broadcasts over HTTP: `POST /api/broadcast` with a batch, `…/{topic}/events/{event}` with one payload."""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sentinel_local_supabase.database import Pool
from sentinel_local_supabase.json_input import NotJson, parse_json
from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.realtime.connection_tokens import TokenClaims, TokenRefused, token_of_key, verify
from sentinel_local_supabase.realtime.frames import Broadcast, dumps
from sentinel_local_supabase.realtime.topics import Refused, Topics, rights_on
from sentinel_local_supabase.tokens import bearer

ACCEPTED: Final = 202
UNAUTHORIZED: Final = 401
UNPROCESSABLE: Final = 422

Addressed = tuple[str, bool, Broadcast]


class BroadcastApi:
    """Its `routes` publish to topics; a private topic accepts only senders that its policies allow to write."""

    def __init__(self, keys: ProjectKeys, pool: Pool, topics: Topics) -> None:
        self._keys = keys
        self._pool = pool
        self._topics = topics
        self.routes = [
            Route("/api/broadcast", self._batch, methods=["POST"]),
            Route("/api/broadcast/{topic}/events/{event}", self._one, methods=["POST"]),
        ]

    async def _batch(self, request: Request) -> Response:
        try:
            batch = _addressed(parse_json(await request.body()))
        except NotJson:
            return JSONResponse({"errors": {"messages": ["is invalid"]}}, UNPROCESSABLE)
        return await self._publish(request, batch)

    async def _one(self, request: Request) -> Response:
        payload: str | bytes
        if request.headers.get("content-type", "").startswith("application/octet-stream"):
            payload = await request.body()
        else:
            try:
                payload = dumps(parse_json(await request.body()))
            except NotJson:
                return JSONResponse({"errors": {"payload": ["is invalid"]}}, UNPROCESSABLE)
        private = request.query_params.get("private") == "true"
        broadcast = Broadcast(request.path_params["event"], payload, framed=True)
        return await self._publish(request, [(request.path_params["topic"], private, broadcast)])

    async def _publish(self, request: Request, batch: list[Addressed]) -> Response:
        try:
            claims = self._sender(request)
        except TokenRefused as error:
            return JSONResponse({"error": error.at_connect}, UNAUTHORIZED)
        for topic, private, broadcast in batch:
            if not private or await self._may_write(topic, claims):
                self._topics.publish(topic, private, broadcast)
        return Response(status_code=ACCEPTED)

    def _sender(self, request: Request) -> TokenClaims:
        headers = request.headers
        token = token_of_key(bearer(headers.get("authorization")) or headers.get("apikey"), self._keys)
        return verify(token, self._keys)

    async def _may_write(self, topic: str, claims: TokenClaims) -> bool:
        try:
            return (await rights_on(self._pool, topic, claims)).broadcast_write
        except Refused:
            return False


def _addressed(body: object) -> list[Addressed]:
    """Return the messages of a batch. Raises NotJson for an invalid body."""
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list):
        raise NotJson("no list of messages")
    batch: list[Addressed] = []
    for message in messages:
        match message:
            case {"topic": str(topic), "event": str(event), "payload": payload}:
                batch.append((topic, bool(message.get("private")), Broadcast(event, dumps(payload))))
            case _:
                raise NotJson("a message without topic, event or payload")
    return batch
