"""``websockets.broadcast``: the library's own way to one message for many connections."""

from __future__ import annotations

import asyncio

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.asyncio.server import serve as listen

from bench.servers.driver import announce, drive, run

connections: set[ServerConnection] = set()


async def subscribe(connection: ServerConnection) -> None:
    await connection.send("ready")
    connections.add(connection)
    try:
        await connection.wait_closed()
    finally:
        connections.discard(connection)


async def send(texts: list[str]) -> None:
    for text in texts:
        broadcast(connections, text)
        await asyncio.sleep(0)


async def serve() -> None:
    server = await listen(subscribe, "127.0.0.1", 0)
    announce(next(iter(server.sockets)).getsockname()[1], await drive(send))


if __name__ == "__main__":
    run(serve)
