"""What the worker tells the process that fetches a post: one packet of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

from sentinel_worker.confine.layers import Mode

PACKET_BYTES: Final = 64 * 1024
FOLDER: Final = "social"
"""The process's own folder inside the request's private one."""


@dataclass(frozen=True, slots=True)
class Order:
    """`url` may hold secrets, so it travels here and not in arguments, which other processes can read."""

    url: str
    sites: tuple[str, ...]
    limit_bytes: int
    limit_seconds: float
    """Longest video that is fetched."""
    password: str
    """The proxy's."""
    stall_seconds: float = 30.0
    proxy_port: int | None = None
    """Where the proxy listens on the machine's own loopback; None: in the process's own network namespace."""
    sandbox: Mode = "auto"

    def packed(self) -> bytes:
        """As it travels."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpacked(cls, packet: bytes) -> Order:
        """What `packed` packed."""
        fields = json.loads(packet)
        return cls(**fields | {"sites": tuple(fields["sites"])})
