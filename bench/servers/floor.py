"""The floor: bare sockets. One prepared frame, one ``transport.write`` a connection.

Nothing that Python runs on uvloop can deliver for less: no HTTP library, no queue, no
bookkeeping, no care for slow readers. The handshake is RFC 6455, section 4.2, by hand.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import cast

from bench.servers.driver import announce, drive, port_of, run

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

subscribers: set[asyncio.WriteTransport] = set()


class Subscriber(asyncio.Protocol):
    """A WebSocket that is only written to; what it sends after the handshake is not read."""

    def __init__(self) -> None:
        self._request = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        subscribers.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        if self._transport in subscribers:
            return
        self._request += data
        if b"\r\n\r\n" in self._request:
            self._transport.write(_accept(self._request) + _frame("ready"))
            self._request = b""
            subscribers.add(self._transport)


def _accept(request: bytes) -> bytes:
    fields = dict(line.split(b": ", 1) for line in request.split(b"\r\n")[1:] if b": " in line)
    digest = hashlib.sha1(fields[b"Sec-WebSocket-Key"] + GUID, usedforsecurity=False).digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


def _frame(text: str) -> bytes:
    body = text.encode()
    if len(body) < 126:
        return bytes((0x81, len(body))) + body
    return b"\x81\x7e" + len(body).to_bytes(2, "big") + body


async def send(texts: list[str]) -> None:
    frames = b"".join(map(_frame, texts))
    for transport in subscribers:
        transport.write(frames)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Subscriber, "127.0.0.1", 0)
    announce(port_of(server), await drive(send))


if __name__ == "__main__":
    run(serve)
