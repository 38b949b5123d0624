"""Process that fetches one post: it sandboxes itself, hands its listening socket to the worker, and runs yt-dlp.

Its only way out is the worker's forward proxy, which accepts on a socket that this process created in its own
network namespace. It sends one JSON packet at a time: `listening` (with the socket), `progress`, then `done` or
`failed`. If the operator allows it to share the machine's network, the worker listens itself.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sentinel_worker.confine import sandbox
from sentinel_worker.confine.layers import Limits, Walls
from sentinel_worker.sources.social.instructions import PACKET_BYTES, Order

MEMORY_BYTES: Final = 1024**3
CPU_SECONDS: Final = 900
_BACKLOG: Final = 64


def main(connection_fd: int, parent: int) -> None:
    """Carry out the single order on the inherited socket. Only the current folder is written to."""
    # systemd sends SIGTERM to every process of a service, but a draining worker still fetches its requests.
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    connection = socket.socket(fileno=connection_fd)
    order = Order.unpacked(connection.recv(PACKET_BYTES))

    def say(message: Mapping[str, Any]) -> None:
        connection.sendall(json.dumps(message).encode())

    # Both are imported before the sandbox is applied, which leaves little of the file system readable.
    from sentinel_worker.sources.social import download, reasons
    from sentinel_worker.sources.social.catalogue import find_extractors

    extractors = find_extractors(order.sites)
    try:
        sandbox.apply(walls(Path.cwd(), order), mode=order.sandbox, parent=parent)
    except (OSError, ValueError, sandbox.SandboxError) as error:
        say({"event": "failed", "code": "social_not_confined", "detail": str(error)})
        return
    port = order.proxy_port or _hand_over_listener(connection)
    downloader = None
    try:
        downloader = download.Downloader(
            order, extractors, proxy=f"http://worker:{order.password}@127.0.0.1:{port}", say=say
        )
        say({"event": "done", **downloader.fetch(order.url)})
    except BaseException as error:  # noqa: BLE001 extractors raise anything; the worker needs an error code
        warnings = downloader.warnings if downloader is not None else ()
        code, shown = reasons.reason(error, warnings), reasons.detail(error)
        del error
        say({"event": "failed", "code": code, "detail": shown})


def walls(folder: Path, order: Order) -> Walls:
    """Return this process's permissions: write below `folder`, read Python and yt-dlp, connect to the proxy."""
    return Walls(
        folder,
        Limits(MEMORY_BYTES, CPU_SECONDS, order.limit_bytes),
        readable=_readable(),
        writable=(folder,),
        network="own_namespace" if order.proxy_port is None else "shared",
        connect_ports=() if order.proxy_port is None else (order.proxy_port,),
    )


def _readable() -> tuple[Path, ...]:
    """Return the readable folders: yt-dlp imports extractors on use, and certificates are read per connection."""
    import certifi
    import yt_dlp

    code = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    return (*dict.fromkeys(code), Path(yt_dlp.__file__).parent, Path(certifi.where()).parent, Path(os.devnull))


def _hand_over_listener(connection: socket.socket) -> int:
    """Listen on this namespace's loopback interface, hand the socket to the worker, and return the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:
        socket.send_fds(connection, [json.dumps({"event": "listening"}).encode()], [listener.fileno()])
        return int(listener.getsockname()[1])
