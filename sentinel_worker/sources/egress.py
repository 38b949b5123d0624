"""Where traffic for users goes: names are looked up once, and every address is checked before it is used.

Whoever connects on a user's behalf asks `EgressPolicy.check_url` (or `check_target`) for every URL and every
redirect, `Egress.resolve` once for each connection, and connects to the addresses that it answers, never to the
name: a second look-up could be answered otherwise.
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
"""All addresses of a name; raises socket.gaierror, and BlockingIOError where all look-ups are taken."""

_UNKNOWN: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


def _look_up(host: str, port: int) -> list[str]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(answer[4][0]) for answer in answers]


class SystemLookUp:
    """Asks the system, in a thread for each name, at most `in_flight` of them; more raise BlockingIOError at once.

    A name whose servers never answer keeps its thread long after nobody waits for it. The event loop's own threads,
    which write files, are not for that, and neither is a pool: the interpreter waits for those when it exits.
    """

    def __init__(self, ask: Callable[[str, int], Sequence[str]] = _look_up, *, in_flight: int = 64) -> None:
        self._ask = ask
        self._free = threading.BoundedSemaphore(in_flight)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        if not self._free.acquire(blocking=False):
            raise BlockingIOError("too many names are looked up at once")
        answer: Future[Sequence[str]] = Future()
        answer.set_running_or_notify_cancel()  # nobody who gives up waiting can cancel it
        try:
            threading.Thread(target=self._settle, args=(answer, host, port), name="look-up", daemon=True).start()
        except RuntimeError as error:
            self._free.release()
            raise BlockingIOError("the machine has no room for another thread") from error
        return await asyncio.wrap_future(answer)

    def _settle(self, answer: Future[Sequence[str]], host: str, port: int) -> None:
        try:
            found = self._ask(host, port)
        except BaseException as error:  # noqa: BLE001 it is raised where the answer is waited for
            self._free.release()
            answer.set_exception(error)
        else:
            self._free.release()
            answer.set_result(found)


system_look_up: Final = SystemLookUp()


class OneClient:
    """At most `in_flight` look-ups of one client, whoever else asks too; more raise OSError at once.

    One counts until it ends, not until nobody waits for it: names that never answer are what a client would take
    them all with.
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
            asked.exception()  # seen, in case nobody waits any more


@dataclass(frozen=True, slots=True)
class Egress:
    """A policy with the way to look names up; tests bring a look-up of their own."""

    policy: EgressPolicy
    look_up: LookUp = system_look_up
    resolve_seconds: float = RESOLVE_SECONDS

    def of_one_client(self) -> Egress:
        """The same for a client that may not obey: it gets a few look-ups at a time, so that others find some."""
        return replace(self, look_up=OneClient(self.look_up))

    async def resolve(self, target: Target) -> tuple[Address, ...]:
        """The checked addresses of `target`, at least one, in the order in which to try them; asks once.

        One forbidden address among many refuses them all: an honest name has none, and the answer is a mixture only
        where somebody tries what gets through. Raises `Permanent` with `url_refused` or `url_host_unknown`, and
        `Transient` with `url_unreachable`, or `worker_busy` where others have taken all look-ups.
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
                "worker_busy", "Too many names are being looked up just now.", retry_after_seconds=AGAIN_SECONDS
            ) from error
        except (TimeoutError, OSError) as error:
            raise Transient(
                "url_unreachable", f"The name {shown_host(target.host)} cannot be looked up now."
            ) from error
        if not found:
            raise _unknown(target.host)
        checked = (self.policy.check_address(ip_address(address), target.host) for address in found)
        return tuple(dict.fromkeys(checked))


def _unresolved(host: str, error: socket.gaierror) -> Permanent | Transient:
    if error.errno in _UNKNOWN:
        return _unknown(host)
    return Transient("url_unreachable", f"The name {shown_host(host)} cannot be looked up now.")


def _unknown(host: str) -> Permanent:
    return Permanent("url_host_unknown", f"There is no host {shown_host(host)}.", params={"host": shown_host(host)})
