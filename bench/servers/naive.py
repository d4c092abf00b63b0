"""What one writes first in aiohttp: a queue and a task for each connection.

Every message is put on every queue; every task takes one message and sends it.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from bench.servers.driver import announce, drive, run

queues: set[asyncio.Queue[str]] = set()


async def subscribe(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    queue: asyncio.Queue[str] = asyncio.Queue()
    writer = asyncio.create_task(_write(ws, queue))
    queues.add(queue)
    try:
        await ws.send_str("ready")
        async for _ in ws:
            pass
    finally:
        queues.discard(queue)
        writer.cancel()
    return ws


async def _write(ws: web.WebSocketResponse, queue: asyncio.Queue[str]) -> None:
    while True:
        await ws.send_str(await queue.get())


async def send(texts: list[str]) -> None:
    for queue in queues:
        for text in texts:
            queue.put_nowait(text)


async def serve() -> None:
    app = web.Application()
    app.router.add_get("/", subscribe)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    announce(runner.addresses[0][1], await drive(send))


if __name__ == "__main__":
    run(serve)
