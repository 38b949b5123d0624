"""Outgoing traffic for users: names are looked up once, and every address is checked before it is used.

Code that connects on a user's behalf calls `EgressPolicy.check_url` (or `check_target`) for every URL and every
redirect, and `Egress.resolve` once per connection. It connects to the returned addresses, never to the name: a second
look-up could return other addresses.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final

from sentinel_worker.domain.errors import Permanent, Transient
from sentinel_worker.sources.addresses import Address
from sentinel_worker.sources.egress_policy import EgressPolicy, Target, shown_host

RESOLVE_SECONDS: Final = 10.0
AGAIN_SECONDS: Final = 30.0
OF_ONE_CLIENT: Final = 8
LookUp = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns all addresses of a name. Raises socket.gaierror, and BlockingIOError if too many look-ups are in flight."""

_UNKNOWN: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


def _look_up(host: str, port: int) -> list[str]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(answer[4][0]) for answer in answers]


class SystemLookUp:
    """Asks the system resolver, in one thread per name. More than `in_flight` threads raise BlockingIOError at once.

    A name whose servers never respond occupies its thread long after the caller has given up. That rules out the
    event loop's own threads, which write files, and a thread pool, which the interpreter waits for when it exits.
    """

    def __init__(self, ask: Callable[[str, int], Sequence[str]] = _look_up, *, in_flight: int = 64) -> None:
        self._ask = ask
        self._free = threading.BoundedSemaphore(in_flight)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        if not self._free.acquire(blocking=False):
            raise BlockingIOError("too many names are looked up at once")
        answer: Future[Sequence[str]] = Future()
        answer.set_running_or_notify_cancel()  # a caller that gives up cannot cancel it
        try:
            threading.Thread(target=self._settle, args=(answer, host, port), name="look-up", daemon=True).start()
        except RuntimeError as error:
            self._free.release()
            raise BlockingIOError("the machine has no room for another thread") from error
        return await asyncio.wrap_future(answer)

    def _settle(self, answer: Future[Sequence[str]], host: str, port: int) -> None:
        try:
            found = self._ask(host, port)
        except BaseException as error:  # noqa: BLE001 re-raised in the caller
            self._free.release()
            answer.set_exception(error)
        else:
            self._free.release()
            answer.set_result(found)


system_look_up: Final = SystemLookUp()


class OneClient:
    """Limits one client to `in_flight` look-ups; more raise OSError at once.

    A look-up counts until it ends, not until its caller gives up. Otherwise a client could use up all look-ups with
    names that never resolve.
    """

    def __init__(self, look_up: LookUp, *, in_flight: int = OF_ONE_CLIENT) -> None:
        self._look_up = look_up
        self._in_flight = in_flight
        self._asked: set[asyncio.Future[Sequence[str]]] = set()

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        if len(self._asked) >= self._in_flight:
            raise OSError("too many names are looked up for this client")
        asked = asyncio.ensure_future(self._look_up(host, port))
        self._asked.add(asked)
        asked.add_done_callback(self._end)
        return await asyncio.shield(asked)

    def _end(self, asked: asyncio.Future[Sequence[str]]) -> None:
        self._asked.discard(asked)
        if not asked.cancelled():
            asked.exception()  # mark as retrieved, in case the caller has gone


@dataclass(frozen=True, slots=True)
class Egress:
    """A policy together with a resolver; tests bring their own."""

    policy: EgressPolicy
    look_up: LookUp = system_look_up
    resolve_seconds: float = RESOLVE_SECONDS

    def of_one_client(self) -> Egress:
        """Return a copy for a client that may misbehave: few look-ups at a time, so that some remain for others."""
        return replace(self, look_up=OneClient(self.look_up))

    async def resolve(self, target: Target) -> tuple[Address, ...]:
        """Look up `target` once; return its checked addresses, at least one, in the order in which to try them.

        One forbidden address among many refuses them all: an honest name has none, and a mixture is an attempt to see
        what gets through. Raises `Permanent` with `url_refused` or `url_host_unknown`, and `Transient` with
        `url_unreachable`, or with `worker_busy` if too many look-ups are in flight.
        """
        literal = target.address
        if literal is not None:
            return (self.policy.check_address(literal, target.host),)
        try:
            async with asyncio.timeout(self.resolve_seconds):
                found = await self.look_up(target.host, target.port)
        except socket.gaierror as error:
            raise _unresolved(target.host, error) from error
        except BlockingIOError as error:
            raise Transient(
                "worker_busy",
                "This worker is looking up too many host names at once.",
                retry_after_seconds=AGAIN_SECONDS,
            ) from error
        except (TimeoutError, OSError) as error:
            raise Transient(
                "url_unreachable", f"The host name {shown_host(target.host)} could not be resolved."
            ) from error
        if not found:
            raise _unknown(target.host)
        checked = (self.policy.check_address(ip_address(address), target.host) for address in found)
        return tuple(dict.fromkeys(checked))


def _unresolved(host: str, error: socket.gaierror) -> Permanent | Transient:
    if error.errno in _UNKNOWN:
        return _unknown(host)
    return Transient("url_unreachable", f"The host name {shown_host(host)} could not be resolved.")


def _unknown(host: str) -> Permanent:
    shown = shown_host(host)
    return Permanent("url_host_unknown", f"The host {shown} does not exist: check the URL.", params={"host": shown})
