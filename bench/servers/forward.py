"""The floor of a relay: bytes from one socket to another and back, never looked at."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

from bench.servers.driver import port_of, run


class End(asyncio.Protocol):
    """One side of a connection; what it reads is written to the other side."""

    def __init__(self) -> None:
        self.other: End | None = None
        self.transport: asyncio.Transport | None = None
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its type

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def data_received(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self._early += data
        else:
            self.other.transport.write(data)

    def join(self, other: End) -> None:
        self.other, other.other = other, self
        if self._early and other.transport is not None:
            other.transport.write(self._early)


class Front(End):
    """The side of the client: it opens the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._opening = asyncio.create_task(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        _, back = await loop.create_connection(End, "127.0.0.1", int(sys.argv[1]))
        self.join(back)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Front, "127.0.0.1", 0)
    print(json.dumps({"port": port_of(server)}), flush=True)


if __name__ == "__main__":
    run(serve)
