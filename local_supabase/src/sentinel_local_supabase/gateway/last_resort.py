"""The response to a request that failed with an unexpected error: a browser must be able to read it."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sentinel_local_supabase.gateway.refusals import failure

log = logging.getLogger(__name__)


class LastResort:
    """Logs an exception with its traceback and responds with 500 in the service's format, with CORS headers.

    If a response has started, the exception propagates and the server closes the connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            if begun:
                raise
            log.exception("%s %s failed", scope["method"], scope["path"])
            await failure(scope)(scope, receive, send)
