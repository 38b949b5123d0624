"""An unexpected error: a browser can read the response, and the log has the traceback."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sentinel_local_supabase.faults import Switch
from sentinel_local_supabase.gateway.app import build_app
from sentinel_local_supabase.gateway.settings import GatewaySettings
from sentinel_local_supabase.keys import ProjectKeys


async def broken(_: Request) -> Response:
    raise ZeroDivisionError("nobody foresaw this")


async def broken_off(_: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"
        raise ZeroDivisionError("in the middle")

    return StreamingResponse(pieces())


@pytest.fixture
def gateway(tmp_path: Path) -> tuple[Starlette, dict[str, str]]:
    """The gateway with failing routes, and a browser's headers."""
    keys = ProjectKeys.load(tmp_path / "keys.json")
    app = build_app(GatewaySettings(keys, tmp_path, "", "", "", ""), "http://gateway", Switch())
    for path in ("/auth/v1", "/rest/v1", "/storage/v1", "/realtime/v1"):
        app.router.routes.insert(0, Route(f"{path}/broken", broken))
    app.router.routes.insert(0, Route("/storage/v1/broken-off", broken_off))
    return app, {"apikey": keys.service_key, "Origin": "http://localhost:5173"}


@pytest.mark.parametrize(
    ("service", "body"),
    [
        (
            "auth",
            {
                "code": 500,
                "error_code": "unexpected_failure",
                "msg": "Unexpected failure, please check server logs for more information",
            },
        ),
        ("rest", {"code": "PGRSTX00", "details": None, "hint": None, "message": "Internal Server Error"}),
        (
            "storage",
            {"statusCode": "500", "error": "Internal", "message": "Internal Server Error", "code": "InternalError"},
        ),
        ("realtime", {"message": "Internal Server Error"}),
    ],
)
async def test_a_failure_has_the_services_own_wording(
    gateway: tuple[Starlette, dict[str, str]], caplog: pytest.LogCaptureFixture, service: str, body: object
) -> None:
    app, headers = gateway
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        with caplog.at_level(logging.ERROR):
            answer = await client.get(f"/{service}/v1/broken", headers=headers)
    assert (answer.status_code, answer.json()) == (500, body)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert f"GET /{service}/v1/broken failed" in caplog.text
    assert "ZeroDivisionError: nobody foresaw this" in caplog.text


async def test_an_answer_that_has_begun_is_broken_off(gateway: tuple[Starlette, dict[str, str]]) -> None:
    app, headers = gateway
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        with pytest.raises(ZeroDivisionError, match="in the middle"):
            await client.get("/storage/v1/broken-off", headers=headers)


async def test_services_that_are_left_out_say_so(gateway: tuple[Starlette, dict[str, str]]) -> None:
    app, headers = gateway
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        function = await client.post("/functions/v1/hello", headers=headers, json={})
        graphql = await client.post("/graphql/v1", headers=headers, json={"query": "{}"})
    assert (function.status_code, graphql.status_code) == (404, 404)
    assert function.json()["message"].startswith("The local Supabase has no Edge Functions")
    assert graphql.json()["errors"][0]["message"].startswith("The local Supabase has no GraphQL")
    assert function.headers["access-control-allow-origin"] == "*"
