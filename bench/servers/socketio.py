"""python-socketio on aiohttp: one ``emit`` a message, to all who have joined one of its rooms."""

from __future__ import annotations

import socketio
from aiohttp import web

from bench.servers.driver import announce, drive, run

sio = socketio.AsyncServer(async_mode="aiohttp", transports=["websocket"])


async def subscribe(sid: str, environ: object) -> None:
    await sio.enter_room(sid, "all")
    await sio.emit("ready", to=sid)


async def send(texts: list[str]) -> None:
    for text in texts:
        await sio.emit("message", text, to="all")


async def serve() -> None:
    app = web.Application()
    sio.attach(app)
    sio.on("connect", subscribe)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    announce(runner.addresses[0][1], await drive(send))


if __name__ == "__main__":
    run(serve)
