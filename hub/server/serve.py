"""Runs a hub as a process: its sockets, signals and shutdown.

=========  ====================================================================================
signal     effect
=========  ====================================================================================
SIGTERM,   The hub drains (see `hub.shutdown`): it serves until its generations have ended or
SIGINT     ``server.drain_seconds`` are over, ends its connections, and exits.
a second   It exits at once, killed by that signal. Generations are interrupted and the store is
           closed, unless that takes long; what was acknowledged is safe either way.
SIGHUP     Nothing: the hub outlives its terminal.
=========  ====================================================================================

Sockets that were passed to the process (see `hub.server.systemd`) are used instead of new ones.
A worker (see `hub.server.workers`) has what its parent has made for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from hub.app import FAREWELL, HUB, make_app, trusted_proxies
from hub.backends import SharedStore
from hub.config.schema import Config
from hub.domain.addresses import is_local, is_loopback
from hub.domain.errors import ConfigError
from hub.http.acceptor import Acceptor
from hub.http.sockets import listen, listen_unix
from hub.server.admin import AdminSocket, admin_path
from hub.server.systemd import inherited, notify

__all__ = ["Place", "Signals", "address_of", "check_access", "run", "serve", "unless"]

log = logging.getLogger("hub")

LAST_SECONDS: Final = 2.0
"""How long requests may take after all connections have been told to end."""

AT_ONCE_SECONDS: Final = 1.0
"""How long closing the store may take when the hub must exit at once."""


@dataclass(slots=True)
class Place:
    """What a worker is given: where it listens and what it shares, and how it is told to end."""

    sockets: list[socket.socket]
    store: SharedStore
    admin: bool
    """Whether the command line talks to this one."""
    signals: Signals


def run(serving: Coroutine[Any, Any, None]) -> None:
    """Run a hub in a loop of its own."""
    try:
        from uvloop import run as run_in_loop
    except ImportError:  # not available on Windows
        asyncio.run(serving)
    else:
        run_in_loop(serving)


async def serve(
    config: Config, *, announce: Callable[[str], None], place: Place | None = None
) -> None:
    """Run a hub until SIGTERM or SIGINT; ``announce`` is called with the URL once it listens.

    Raises:
        ConfigError: the hub cannot run as configured.
        StoreError: the store cannot be used.
    """
    app = make_app(config, store=None if place is None else place.store)
    runner = web.AppRunner(
        app,
        handle_signals=False,
        handler_cancellation=True,
        shutdown_timeout=LAST_SECONDS,
    )
    lowat = config.fanout.notsent_lowat
    handed = inherited(os.environ, notsent_lowat=lowat)
    sockets = place.sockets if place is not None else handed or _listen(config)
    signals = Signals() if place is None else place.signals
    admin = None
    try:
        check_access(config, sockets)
        if await unless(signals.stop, runner.setup()):
            path = admin_path(config.store.url)
            if path is not None and (place is None or place.admin):
                hub = app[HUB]
                admin = AdminSocket(path, hub.credentials, hub.revoke, hub.change_owner)
                await admin.open()
            acceptor = Acceptor(
                runner,
                sockets=config.limits.sockets,
                idle_seconds=config.server.idle_seconds,
                access_log=config.server.access_log,
                proxies=trusted_proxies(config),
            )
            await acceptor.open(sockets)
            announce(address_of(sockets[0], config.server.host))
            notify(os.environ, "READY=1")
            await signals.stop.wait()
            notify(os.environ, "STOPPING=1")
            heirs = bool(handed) or signals.replaced
            await unless(signals.at_once, _shut_down(acceptor, app, heirs=heirs))
    finally:
        for listening in sockets:
            listening.close()
        if admin is not None:
            # Before the store releases its lock: the next hub makes a socket of its own.
            await admin.close()
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


def check_access(config: Config, sockets: Iterable[socket.socket]) -> None:
    """Refuse to let other machines in without authentication, unless the configuration wants it.

    Raises:
        ConfigError: ``auth_missing``.
    """
    if config.auth.enabled or config.auth.open:
        return
    addresses = [str(each.getsockname()[0]) for each in sockets if each.family != socket.AF_UNIX]
    why = [f"it listens on {address}" for address in addresses if not is_loopback(address)]
    why += [f'server.hosts has "{name}"' for name in config.server.hosts if not is_local(name)]
    why += [f'server.trusted_proxies has "{one}"' for one in config.server.trusted_proxies]
    if why:
        raise ConfigError(
            f"other machines can reach this hub ({why[0]}), and anybody may use it: say in [auth] "
            "who may (see docs/authentication.md), or set auth.open = true to let everybody in",
            code="auth_missing",
        )


def address_of(listening: socket.socket, host: str) -> str:
    """The address of a socket: a URL, or ``unix:`` and a path."""
    name = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"http://{f'[{host}]' if ':' in host else host}:{name[1]}"


async def _shut_down(acceptor: Acceptor, app: web.Application, *, heirs: bool) -> None:
    """Drain the hub and end all connections."""
    acceptor.draining = True
    await app[FAREWELL].drain()
    await acceptor.close(heirs=heirs)
    await app[FAREWELL].say()


async def unless(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Run ``work`` until it ends, or cancel it when the event is set; whether it ended.

    Raises:
        Exception: as ``work``.
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


class Signals:
    """The signals of the process, as events; ``hangup`` is called on SIGHUP."""

    def __init__(
        self, hangup: Callable[[], object] = lambda: log.info("SIGHUP is ignored")
    ) -> None:
        self.stop = asyncio.Event()
        self.at_once = asyncio.Event()
        self.replaced = False
        """Another process accepts the connections that still wait."""
        self._loop = asyncio.get_running_loop()
        self._last = signal.SIGTERM
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._handle, number)
        self._loop.add_signal_handler(signal.SIGHUP, hangup)

    def forget(self) -> None:
        """Remove all signal handlers."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._loop.remove_signal_handler(number)

    def replace(self) -> None:
        """Stop as by SIGTERM, and leave what waits to be accepted to another process."""
        self.replaced = not self.stop.is_set()
        self.stop.set()

    def abandon(self) -> None:
        """Stop at once, as by a second SIGTERM."""
        self.stop.set()
        self._handle(signal.SIGTERM)

    def die(self) -> None:
        """Kill the process with its last signal, so that its parent sees which it was."""
        os.kill(os.getpid(), self._last)

    def _handle(self, number: signal.Signals) -> None:
        if not self.stop.is_set():
            log.info("%s: stopping after the running generations; again to stop now", number.name)
            self.stop.set()
            return
        self._last = number
        for each in (signal.SIGTERM, signal.SIGINT):
            self._loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        self.at_once.set()
        self._loop.call_later(AT_ONCE_SECONDS, self.die)
