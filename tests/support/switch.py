"""A TCP proxy whose connections a test cuts, and leads elsewhere."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

from tests.support.connections import Connections

__all__ = ["Switch"]


class Switch:
    """Leads to a port of this machine, or nowhere."""

    def __init__(self, target: int) -> None:
        self._target: int | None = target
        self._connections = Connections(self._connect)
        self.port = 0

    async def __aenter__(self) -> Self:
        self.port = self._connections.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._connections.stop()
        await self.lead(None)

    async def lead(self, target: int | None) -> None:
        """Cut all connections, and let new ones lead there."""
        self._target = target
        await self._connections.cut()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._target is None:
            return
        with suppress(OSError):  # nobody listens there
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                ways = [_copy(reader, back), _copy(there, writer)]
                both = [asyncio.create_task(way) for way in ways]
                try:
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in both:
                        way.cancel()
                    await asyncio.gather(*both, return_exceptions=True)
            finally:
                back.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
