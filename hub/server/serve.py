"""A hub as a process: which sockets it has, what it does on which signal, how it ends.

=========  ====================================================================================
signal     what happens
=========  ====================================================================================
SIGTERM,   The hub drains (see `hub.shutdown`): it goes on serving until its generations have
SIGINT     ended or ``server.drain_seconds`` are over, sends its readers off, and leaves.
a second   It leaves at once, killed by that signal: what runs is interrupted, and the store
           closed, unless that takes long; what was acknowledged is safe either way.
SIGHUP     Nothing: a terminal that closes is no reason to stop.
=========  ====================================================================================

Sockets that another process holds (see `hub.server.systemd`) are taken instead of making some.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final

from aiohttp import web

from hub.app import FAREWELL, HUB, make_app
from hub.config.schema import Config
from hub.http.acceptor import Acceptor
from hub.http.sockets import listen, listen_unix
from hub.server.systemd import inherited, tell

__all__ = ["serve"]

log = logging.getLogger("hub")

LAST_SECONDS: Final = 2.0
"""What is left of a request when everybody has been sent off."""

AT_ONCE_SECONDS: Final = 1.0
"""How long the store may take to close when the hub is to leave at once."""


async def serve(config: Config, *, announce: Callable[[str], None]) -> None:
    """Run a hub until SIGTERM or SIGINT; ``announce`` is told the URL once it listens.

    Raises:
        ConfigError: it cannot be run as configured.
        StoreError: the store cannot be used.
    """
    app = make_app(config)
    runner = web.AppRunner(
        app,
        handle_signals=False,
        handler_cancellation=True,
        shutdown_timeout=LAST_SECONDS,
    )
    lowat = config.fanout.notsent_lowat
    handed = inherited(os.environ, notsent_lowat=lowat)
    sockets = handed or _listen(config)
    signals = _Signals()
    try:
        if await _unless(signals.stop, runner.setup()):
            door = Acceptor(
                runner,
                sockets=config.limits.sockets,
                idle_seconds=config.server.idle_seconds,
                access_log=config.server.access_log,
            )
            await door.open(sockets)
            announce(_where(sockets[0], config.server.host))
            tell(os.environ, "READY=1")
            await signals.stop.wait()
            tell(os.environ, "STOPPING=1")
            await _unless(signals.at_once, _leave(door, app, heirs=bool(handed)))
    finally:
        for listening in sockets:
            listening.close()
        if signals.at_once.is_set():
            try:
                await app[HUB].close()
            finally:
                signals.die()
        await runner.cleanup()
        signals.forget()


def _listen(config: Config) -> list[socket.socket]:
    server = config.server
    if server.unix_socket is not None:
        return [listen_unix(server.unix_socket)]
    return listen(server.host, server.port, notsent_lowat=config.fanout.notsent_lowat)


def _where(listening: socket.socket, host: str) -> str:
    """Where a socket is reached: a URL, or a path after ``unix:``."""
    name = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"http://{f'[{host}]' if ':' in host else host}:{name[1]}"


async def _leave(door: Acceptor, app: web.Application, *, heirs: bool) -> None:
    """Drain, and send everybody off."""
    door.draining = True
    await app[FAREWELL].drain()
    await door.close(heirs=heirs)
    await app[FAREWELL].say()


async def _unless(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do some work to its end, unless the event comes before; whether it was done.

    Raises:
        Exception: as the work.
    """
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([working, waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        if working.cancel():
            await asyncio.wait([working])
    if working.cancelled():
        return False
    working.result()
    return True


class _Signals:
    """What a process is told by signals."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.at_once = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._last = signal.SIGTERM
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._heard, number)
        self._loop.add_signal_handler(signal.SIGHUP, log.info, "SIGHUP: there is nothing to do")

    def forget(self) -> None:
        """Leave every signal to others."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._loop.remove_signal_handler(number)

    def die(self) -> None:
        """End the process as its last signal would, so that its parent sees which it was."""
        os.kill(os.getpid(), self._last)

    def _heard(self, number: signal.Signals) -> None:
        if not self.stop.is_set():
            log.info(
                "%s: leaving when what runs has ended; once more to leave at once", number.name
            )
            self.stop.set()
            return
        self._last = number
        for each in (signal.SIGTERM, signal.SIGINT):
            self._loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        self.at_once.set()
        self._loop.call_later(AT_ONCE_SECONDS, self.die)
