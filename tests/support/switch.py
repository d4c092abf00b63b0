"""A TCP proxy whose connections a test cuts, and leads elsewhere."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

__all__ = ["Switch"]


class Switch:
    """Leads to a port of this machine, or nowhere."""

    def __init__(self, target: int) -> None:
        self._target: int | None = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.lead(None)

    async def lead(self, target: int | None) -> None:
        """Cut all connections, and let new ones lead there."""
        self._target = target
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connect(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._target is None:
                return
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
        except OSError:
            pass  # nobody listens there
        finally:
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
