"""The hub as ``streamhub serve`` runs it, with a driver that appends deltas to one stream."""

from __future__ import annotations

from aiohttp import web

from bench.servers.driver import announce, drive, run
from hub.app import HUB, make_app
from hub.config.schema import Config
from hub.domain.events import Delta
from hub.http.sockets import listen

STREAM = "bench"
GENERATION = "0123456789abcdef"


async def serve() -> None:
    # As volatile as its peers; bench/durable.py is about the store.
    streams = {"foreign_generations": True}
    config = Config.model_validate({"store": {"url": "memory:"}, "streams": streams})
    app = make_app(config)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, handler_cancellation=True)
    await runner.setup()
    hub = app[HUB]
    stream, _ = await hub.streams.create(STREAM)

    async def send(texts: list[str]) -> None:
        for text in texts:
            hub.streams.append(stream, Delta(GENERATION, text=text))

    sockets = listen("127.0.0.1", 0, notsent_lowat=config.fanout.notsent_lowat)
    await web.SockSite(runner, sockets[0]).start()
    announce(sockets[0].getsockname()[1], await drive(send))


if __name__ == "__main__":
    run(serve)
