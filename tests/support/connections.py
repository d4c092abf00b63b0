"""A port of this machine whose connections a test serves, and breaks whenever it wants.

asyncio's own server loses a connection that it has taken when it is closed before it has begun
to serve it, and so does a task that is cancelled before it has begun.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress

__all__ = ["Connections", "Serve"]

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


class Connections:
    """Each is served in a task of its own, and is broken off when that ends."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._listening: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, port: int = 0) -> int:
        """Take connections from now on; gives the port."""
        self._listening = socket.create_server(("127.0.0.1", port))
        self._listening.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listening, self._take, self._listening)
        found: int = self._listening.getsockname()[1]
        return found

    def stop(self) -> None:
        """Take no more."""
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None

    async def cut(self) -> None:
        """Break all that there are."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self, listening: socket.socket) -> None:
        with suppress(BlockingIOError, ConnectionError):
            client, _ = listening.accept()
            client.setblocking(False)
            task = asyncio.create_task(self._served(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: client.close())

    async def _served(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=client)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):  # it has left
                await self._serve(reader, writer)
        finally:
            writer.transport.abort()
