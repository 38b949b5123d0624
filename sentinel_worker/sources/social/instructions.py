"""Order to the process that fetches a post: one JSON packet."""

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
    """Order to fetch `url`, which may contain secrets: other processes could read it in the arguments."""

    url: str
    sites: tuple[str, ...]
    limit_bytes: int
    limit_seconds: float
    """Longest video that is fetched."""
    password: str
    """The proxy's password."""
    stall_seconds: float = 30.0
    proxy_port: int | None = None
    """Port of the proxy on the machine's loopback interface; None: it is in the process's own network namespace."""
    sandbox: Mode = "auto"

    def packed(self) -> bytes:
        """Encode the order as a packet."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpacked(cls, packet: bytes) -> Order:
        """Decode a packet made by `packed`."""
        fields = json.loads(packet)
        return cls(**fields | {"sites": tuple(fields["sites"])})
