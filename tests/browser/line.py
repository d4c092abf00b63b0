"""A line between a browser and a hub that can be cut, mended and left dead."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext, suppress

from tests.support.connections import Connections
from tests.support.ports import Port

__all__ = ["Line"]

REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Line:
    """A proxy for bytes; ``url`` is where a browser finds the hub through it.

    ::

        await line.cut()        # every connection breaks, and no other is taken: offline
        line.mend()             # taken again, at the same address
        line.hold()             # connections stay open and nothing goes through: a dead network
        line.release()          # what was held goes through
        line.refuse(b"GET /v1/ws")  # as some proxies do: connections that begin so get a 403
        line.limit(6)           # further connections wait until one of so many ends
    """

    def __init__(self, hub_port: int) -> None:
        self._hub_port = hub_port
        self.url = ""
        self._port = Port()
        self._connections = Connections(self._join)
        self._flows = asyncio.Event()
        self._flows.set()
        self._refused: bytes | None = None
        self._free: asyncio.Semaphore | None = None

    def mend(self) -> None:
        """Take connections (again)."""
        self.url = f"http://127.0.0.1:{self._connections.listen(self._port.number)}"

    async def cut(self) -> None:
        """Break every connection, and take no other."""
        self._connections.stop()
        await self._connections.cut()

    async def end(self) -> None:
        """Cut it for good."""
        await self.cut()
        self._port.release()

    def hold(self) -> None:
        """Let nothing through, and say nothing about it."""
        self._flows.clear()

    def release(self) -> None:
        """Let through what was held."""
        self._flows.set()

    def refuse(self, beginning: bytes) -> None:
        """Answer connections whose first request begins like this with a 403."""
        self._refused = beginning

    def limit(self, connections: int) -> None:
        """Let through so many connections at a time, of those that are not refused."""
        self._free = asyncio.Semaphore(connections)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # the hub is down: break off, as its own port would
            first = await reader.read(65536)
            if self._refused is not None and first.startswith(self._refused):
                writer.write(REFUSAL)
                await writer.drain()
                return
            async with self._free or nullcontext():
                await self._connect(first, reader, writer)

    async def _connect(
        self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._hub_port)
        try:
            await self._flows.wait()
            back.write(first)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, back))
                both.create_task(self._pass(there, writer))
        finally:
            back.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                await self._flows.wait()
                writer.write(piece)
                await writer.drain()
        # One side has ended; the other learns of it once it has read all there was.
        with suppress(OSError, RuntimeError):
            writer.write_eof()
