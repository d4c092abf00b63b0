"""A line between a browser and a hub that can be cut, mended and left dead."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext, suppress

__all__ = ["Line"]

REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Line:
    """A proxy for bytes; ``url`` is where a browser finds the hub through it.

    ::

        await line.cut()        # every connection breaks, and no other is taken: offline
        await line.mend()       # taken again, at the same address
        line.hold()             # connections stay open and nothing goes through: a dead network
        line.release()          # what was held goes through
        line.refuse(b"GET /v1/ws")  # as some proxies do: connections that begin so get a 403
        line.limit(6)           # further connections wait until one of so many ends
    """

    def __init__(self, hub_port: int) -> None:
        self._hub_port = hub_port
        self.url = ""
        self._port = 0
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._refused: bytes | None = None
        self._free: asyncio.Semaphore | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def mend(self) -> None:
        """Take connections (again)."""
        self._server = await asyncio.start_server(self._taken, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def cut(self) -> None:
        """Break every connection, and take no other."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

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

    def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):  # the hub is down: break off, as its own port would
                first = await reader.read(65536)
                if self._refused is not None and first.startswith(self._refused):
                    writer.write(REFUSAL)
                    await writer.drain()
                    return
                async with self._free or nullcontext():
                    await self._connect(first, reader, writer)
        finally:
            writer.transport.abort()

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
