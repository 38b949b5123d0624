"""Where traffic for users goes: names are looked up once, and every address is checked before it is used.

Whoever connects on a user's behalf asks `EgressPolicy.check_url` (or `check_target`) for every URL and every
redirect, `Egress.resolve` once for each connection, and connects to the addresses that it answers, never to the
name: a second look-up could be answered otherwise.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from sentinel_worker.errors import Permanent, Transient
from sentinel_worker.sources.addresses import Address
from sentinel_worker.sources.egress_policy import EgressPolicy, Target, shown_host

RESOLVE_SECONDS: Final = 10.0
LookUp = Callable[[str, int], Awaitable[Sequence[str]]]
"""All addresses of a name; raises socket.gaierror."""

_UNKNOWN: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
# Threads of their own: names whose servers never answer would take the event loop's, which write files.
_THREADS: Final = ThreadPoolExecutor(max_workers=8, thread_name_prefix="look-up")


async def system_look_up(host: str, port: int) -> Sequence[str]:
    """Ask the system, in a thread."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _look_up, host, port)


@dataclass(frozen=True, slots=True)
class Egress:
    """A policy with the way to look names up; tests bring a look-up of their own."""

    policy: EgressPolicy
    look_up: LookUp = system_look_up
    resolve_seconds: float = RESOLVE_SECONDS

    async def resolve(self, target: Target) -> tuple[Address, ...]:
        """The checked addresses of `target`, at least one, in the order in which to try them; asks once.

        One forbidden address among many refuses them all: an honest name has none, and the answer is a mixture only
        where somebody tries what gets through. Raises `Permanent` with `url_refused` or `url_host_unknown` and
        `Transient('url_unreachable')`.
        """
        literal = target.address
        if literal is not None:
            return (self.policy.check_address(literal, target.host),)
        try:
            async with asyncio.timeout(self.resolve_seconds):
                found = await self.look_up(target.host, target.port)
        except socket.gaierror as error:
            raise _unresolved(target.host, error) from error
        except (TimeoutError, OSError) as error:
            raise Transient(
                "url_unreachable", f"The name {shown_host(target.host)} cannot be looked up now."
            ) from error
        if not found:
            raise _unknown(target.host)
        checked = (self.policy.check_address(ip_address(address), target.host) for address in found)
        return tuple(dict.fromkeys(checked))


def _look_up(host: str, port: int) -> list[str]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(answer[4][0]) for answer in answers]


def _unresolved(host: str, error: socket.gaierror) -> Permanent | Transient:
    if error.errno in _UNKNOWN:
        return _unknown(host)
    return Transient("url_unreachable", f"The name {shown_host(host)} cannot be looked up now.")


def _unknown(host: str) -> Permanent:
    return Permanent("url_host_unknown", f"There is no host {shown_host(host)}.", params={"host": shown_host(host)})
