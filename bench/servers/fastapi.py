"""FastAPI (Starlette) on uvicorn with its default WebSocket implementation, on uvloop.

A queue for each connection, as its documentation and most answers about it show.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from bench.servers.driver import announce, drive, run

queues: set[asyncio.Queue[str]] = set()


async def subscribe(ws: WebSocket) -> None:
    await ws.accept()
    queue: asyncio.Queue[str] = asyncio.Queue()
    queues.add(queue)
    gone = asyncio.create_task(_until_gone(ws))
    gone.add_done_callback(lambda _: queue.put_nowait(""))
    try:
        await ws.send_text("ready")
        while text := await queue.get():
            await ws.send_text(text)
    finally:
        queues.discard(queue)
        gone.cancel()


async def _until_gone(ws: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await ws.receive_text()


async def send(texts: list[str]) -> None:
    for queue in queues:
        for text in texts:
            queue.put_nowait(text)


async def serve() -> None:
    app = FastAPI()
    app.add_api_websocket_route("/", subscribe)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    announce(listener.getsockname()[1], await drive(send))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    await server.serve(sockets=[listener])


if __name__ == "__main__":
    run(serve)
