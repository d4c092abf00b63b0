"""Whatever a browser asks of the world outside: refused, and remembered.

It is the browser's proxy for everything but loopback, so that nothing goes round it: not a
worker, a beacon, a prefetch or a WebSocket. What Chromium asks its own makers, whatever the
switches say, is refused as well, and not remembered.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Final, Self

__all__ = ["Strangers"]


_MAKERS: Final = re.compile(
    r"[A-Z]+ (https?://)?([a-z0-9-]+\.)*(google|googleapis|gstatic|gvt1)\.com[:/]"
)


class Strangers:
    """A proxy that refuses everything; ``asked`` is what for, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._refuse, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            line = head.split(b"\r\n", 1)[0].decode("latin-1")
            if not _MAKERS.match(line):
                self.asked.append(line)
            writer.write(
                b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            await writer.drain()
        writer.close()
