"""Gateways of the local Supabase that are forked from a process which has imported it; see `forks`."""

from __future__ import annotations

import asyncio
import os

from tests.warm.forks import Forked, Template, enter, serve


class Gateway(Forked):
    """A forked gateway, with the streams that `GatewayProcess` uses."""

    def __init__(self, forked: Forked, stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader) -> None:
        super().__init__(forked.pid, forked.ended)
        self.stdin = stdin
        self.stdout = stdout


async def fork(template: Template) -> Gateway:
    """Start a gateway with the present environment; its standard error is this process's."""
    stdin, our_stdin = os.pipe()
    our_stdout, stdout = os.pipe()
    try:
        forked = await template.fork([stdin, stdout, 2], os.environ)
    finally:
        os.close(stdin)
        os.close(stdout)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(our_stdout, "rb"))
    writing, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(our_stdin, "wb")
    )
    return Gateway(forked, asyncio.StreamWriter(writing, protocol, None, loop), reader)


def main() -> None:
    """Fork a gateway at each order."""
    from sentinel_local_supabase.gateway import app

    if order := serve():
        enter(order)
        app.main()


if __name__ == "__main__":
    main()
