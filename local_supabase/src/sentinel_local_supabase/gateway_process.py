"""The gateway as a child process that ends with the process that started it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from itertools import count
from typing import Any, Self

from sentinel_local_supabase.errors import LocalSupabaseError
from sentinel_local_supabase.faults import Faults
from sentinel_local_supabase.gateway.settings import GatewaySettings
from sentinel_local_supabase.process_lookup import refuse_held_port

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_ANSWER_SECONDS = 10.0


class GatewayProcess:
    """A running gateway on `port`, until `stop`. It is controlled by lines of JSON (see gateway/app.py)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._telling = asyncio.Lock()
        self._numbers = count(1)
        self.port = 0

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    async def start(cls, settings: GatewaySettings) -> Self:
        """Start a gateway and wait until it accepts requests. Raises LocalSupabaseError if it does not start."""
        gateway = cls(await cls._spawn())
        gateway._stdin.write(settings.to_json().encode() + b"\n")
        try:
            async with asyncio.timeout(_START_SECONDS):
                line = await gateway._stdout.readline()
        except TimeoutError:
            line = b""
        except BaseException:
            await gateway.stop()
            raise
        if not line:
            await gateway.stop()
            refuse_held_port(settings.port)
            raise LocalSupabaseError("gateway_start", "The local Supabase's gateway did not start: see standard error.")
        gateway.port = int(json.loads(line)["port"])
        return gateway

    @classmethod
    async def _spawn(cls) -> asyncio.subprocess.Process:
        # A separate session: Ctrl+C in a terminal is for the parent, which then closes the pipe.
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sentinel_local_supabase.gateway.app"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )

    async def stop(self, *, kill: bool = False) -> None:
        """Stop it: gracefully, or at once with `kill`."""
        if kill and self._process.returncode is None:
            self._process.kill()
        self._stdin.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def misbehave(self, faults: Faults) -> None:
        """Replace all faults with these; they are in force when this call returns."""
        answer = await self._tell({"faults": faults.to_dict()})
        if "refused" in answer:
            raise LocalSupabaseError("faults_refused", f"The local Supabase refused the faults: {answer['refused']}")

    async def _tell(self, message: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        async with self._telling, asyncio.timeout(_ANSWER_SECONDS):
            self._stdin.write(json.dumps({"number": number} | message).encode() + b"\n")
            # A cancelled call leaves its reply unread.
            while line := await self._stdout.readline():
                answer: dict[str, Any] = json.loads(line)
                if answer.get("number") == number:
                    return answer
        raise LocalSupabaseError("gateway_away", "The local Supabase's gateway has ended: start it again.")
