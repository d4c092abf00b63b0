"""Several hubs in processes of their own, behind one port and over one SQLite file.

This process has the file and decides (`hub.stores.coordinator`); each worker (`hub.server.worker`)
is a hub over it. Each worker has a listening socket of its own, which this process holds, too: what
waits to be accepted waits for the next worker when one dies.

=========  ====================================================================================
signal     effect
=========  ====================================================================================
SIGTERM,   All workers drain, then the store is closed.
SIGINT
a second   It goes to all workers, too: they exit at once.
SIGHUP     Each worker is replaced, one after the other: the new one serves before the old drains.
=========  ====================================================================================

A worker that dies is started again, after a wait that grows while it keeps dying. If this process
dies, its workers notice and exit.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Self

import orjson

from hub.config.schema import Config
from hub.domain.errors import HubError
from hub.http.sockets import listen, listen_unix
from hub.owned_tasks import OwnedTasks
from hub.server.serve import Signals, address_of, check_access, unless
from hub.server.systemd import inherited, notify
from hub.server.worker import LEAVE, LENGTH, READY, coordinator_path
from hub.stores.coordinator.server import Coordinator
from hub.stores.sqlite.sequenced import SequencedSQLiteStore

__all__ = ["Backoff", "Worker", "ended_by", "serve_workers"]

log = logging.getLogger("hub.workers")

START_SECONDS: Final = 60.0
"""How long a worker may take until it serves."""

LEAVING_SECONDS: Final = 10.0
"""How long a worker may take to end after its drain, until it is killed."""

LINE_BYTES: Final = 64 * 1024
"""The longest line that a worker says."""


class Backoff:
    """How long to wait before a worker that died is started again, in seconds."""

    FIRST: Final = 0.1
    LONGEST: Final = 5.0
    WELL: Final = 10.0
    """A worker that served for so long does not die because of how it starts."""

    def __init__(self) -> None:
        self._next = self.FIRST

    def wait(self, served: float) -> float:
        """The wait, for a worker that served for ``served`` seconds; twice as long the next time.

        The first one that dies after it served well is replaced without a wait.
        """
        if served >= self.WELL:
            self._next = self.FIRST
            return 0.0
        wait, self._next = self._next, min(self._next * 2, self.LONGEST)
        return wait


def ended_by(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


async def serve_workers(config: Config, *, announce: Callable[[str], None]) -> None:
    """Run ``server.workers`` hubs until SIGTERM or SIGINT; as `hub.server.serve.serve`.

    Raises:
        ConfigError: the hubs cannot run as configured.
        StoreError: the store cannot be used.
    """
    groups, handed = _sockets(config)
    crew = _Crew(config, groups)
    signals = Signals(crew.replace)
    kept = config.store
    file = kept.url.partition(":")[2]
    store = SequencedSQLiteStore(file, sync=kept.sync, lock_seconds=kept.lock_seconds)
    coordinator = Coordinator(store, coordinator_path(config))
    try:
        check_access(config, groups[0])
        if not await unless(signals.stop, coordinator.start()):
            return
        try:
            if await unless(signals.stop, crew.start()):
                announce(address_of(groups[0][0], config.server.host))
                notify(os.environ, "READY=1")
                await signals.stop.wait()
                notify(os.environ, "STOPPING=1")
            # What waits at a socket is accepted by its worker, which then is its only holder.
            _close(groups)
            await unless(signals.at_once, crew.stop(heirs=handed))
        finally:
            await crew.end()
            await coordinator.stop()
    finally:
        _close(groups)
        if signals.at_once.is_set():
            signals.die()
        signals.forget()


def _sockets(config: Config) -> tuple[list[list[socket.socket]], bool]:
    """Where each worker listens, and whether another process has the sockets, too.

    Raises:
        ConfigError: it is not possible to listen there.
    """
    server, lowat = config.server, config.fanout.notsent_lowat
    if handed := inherited(os.environ, notsent_lowat=lowat):
        return [handed] * server.workers, True
    if server.unix_socket is not None:
        return [[listen_unix(server.unix_socket)]] * server.workers, False
    # Alone first: whoever shares a port shares it with every program of the same user.
    alone = listen(server.host, server.port, notsent_lowat=lowat)
    port = alone[0].getsockname()[1]
    _close([alone])
    groups = [
        listen(server.host, port, notsent_lowat=lowat, shared=True) for _ in range(server.workers)
    ]
    return groups, False


def _close(groups: Sequence[Sequence[socket.socket]]) -> None:
    for group in groups:
        for listening in group:
            listening.close()


class Worker:
    """One process."""

    def __init__(
        self,
        name: str,
        process: asyncio.subprocess.Process,
        control: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.name = name
        self.process = process
        self._said, self._control = control
        self._leaving = False
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()

    @classmethod
    async def started(cls, name: str, config: bytes, sockets: Sequence[socket.socket]) -> Self:
        """Start one. If this is cancelled, the process finds that nobody controls it, and ends."""
        ours, its = socket.socketpair()
        numbers = [its.fileno(), *(listening.fileno() for listening in sockets)]
        dropped = ("NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
        environ = {key: held for key, held in os.environ.items() if key not in dropped}
        try:
            ours.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=ours, limit=LINE_BYTES)
        except BaseException:
            ours.close()
            its.close()
            raise
        try:
            with its:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "hub.server.worker", name, *map(str, numbers)),
                    pass_fds=numbers,
                    stdin=asyncio.subprocess.DEVNULL,
                    env=environ,
                    # What a terminal sends to all of its processes goes to this one alone.
                    start_new_session=True,
                )
        except BaseException:
            writer.close()
            raise
        writer.write(len(config).to_bytes(LENGTH, "big") + config)
        return cls(name, process, (reader, writer))

    @property
    def served(self) -> float:
        """For how many seconds it has been there."""
        return self._loop.time() - self._since

    async def ready(self) -> None:
        """Wait until it serves.

        Raises:
            HubError: it does not; the message says why.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                said = await self._said.readline()
        except (TimeoutError, OSError, ValueError) as error:
            self.send(signal.SIGKILL)
            raise HubError(
                f"{self.name} does not start: {str(error) or 'it says nothing'}"
            ) from None
        if said == READY:
            return
        if not said:
            raise HubError(f"{self.name} has ended before it served: see its log")
        code, message = orjson.loads(said)
        raise HubError(message, code=code)

    def leave(self, *, heirs: bool) -> None:
        """Have it drain, if it does not yet; ``heirs`` accept what waits at its socket.

        A second signal would end it at once.
        """
        if self._leaving:
            return
        self._leaving = True
        if heirs:
            self._control.write(LEAVE)
        else:
            self.send(signal.SIGTERM)

    def abandon(self) -> None:
        """Have it end at once, as if this process were dead."""
        self._control.close()

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def gone(self, seconds: float | None = None) -> int:
        """Wait until it has ended, and kill it after ``seconds``; its exit code."""
        try:
            async with asyncio.timeout(seconds):
                code = await self.process.wait()
        except TimeoutError:
            log.warning("%s does not end: it is killed", self.name)
            self.send(signal.SIGKILL)
            code = await self.process.wait()
        self._control.close()
        return code


class _Post:
    """One of the workers, whichever process it is."""

    def __init__(self, name: str, sockets: Sequence[socket.socket]) -> None:
        self.name = name
        self.sockets = sockets
        self.backoff = Backoff()
        self.worker: Worker | None = None
        self.changing = asyncio.Lock()


class _Crew:
    """All workers: started, replaced, started again when they die, and stopped."""

    def __init__(self, config: Config, groups: Sequence[Sequence[socket.socket]]) -> None:
        self._config = pickle.dumps(config)
        self._posts = [_Post(f"worker-{n}", group) for n, group in enumerate(groups, 1)]
        self._leaving = config.server.drain_seconds + LEAVING_SECONDS
        self._alive: set[Worker] = set()
        self._tasks = OwnedTasks("the care for the workers", log)
        self._replacing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start all, and keep them.

        Raises:
            HubError: one does not start.
        """
        async with asyncio.TaskGroup() as starting:
            tries = [starting.create_task(self._try(post)) for post in self._posts]
        for one in tries:
            if (error := one.result()) is not None:
                raise error
        for post in self._posts:
            self._tasks.start(self._keep(post))

    async def _try(self, post: _Post) -> HubError | None:
        """Put a new worker on a post; why it does not start, if it does not."""
        try:
            worker = await Worker.started(post.name, self._config, post.sockets)
        except OSError as error:
            return HubError(f"{post.name} cannot be started: {error.strerror or error}")
        self._alive.add(worker)
        try:
            await worker.ready()
        except HubError as error:
            await worker.gone(LEAVING_SECONDS)
            self._alive.discard(worker)
            return error
        post.worker = worker
        return None

    async def _keep(self, post: _Post) -> None:
        while (worker := post.worker) is not None:
            code = await worker.gone()
            self._alive.discard(worker)
            async with post.changing:
                if post.worker is not worker:
                    continue
                log.error("%s %s: it is started again", post.name, ended_by(code))
                served = worker.served
                while post.worker is worker:
                    await asyncio.sleep(post.backoff.wait(served))
                    served = 0.0
                    if (error := await self._try(post)) is not None:
                        log.error("%s does not start: %s", post.name, error.message)

    def replace(self) -> None:
        """Replace all workers, one after the other, unless that is going on."""
        if self._replacing is None or self._replacing.done():
            log.info("SIGHUP: replacing all workers, one after the other")
            self._replacing = self._tasks.start(self._replace())

    async def _replace(self) -> None:
        for post in self._posts:
            async with post.changing:
                old = post.worker
                if old is None:
                    return  # they are not all there yet
                if (error := await self._try(post)) is not None:
                    log.error("%s stays as it is, and all after it: %s", post.name, error.message)
                    return
            log.info("%s is replaced: the process before it drains", post.name)
            old.leave(heirs=True)
            await old.gone(self._leaving)
            self._alive.discard(old)

    async def stop(self, *, heirs: bool) -> None:
        """Have all drain, and wait until they have ended; ``heirs`` accept what still waits."""
        await self._rest()
        for worker in self._alive:
            worker.leave(heirs=heirs)
        await asyncio.gather(*(worker.gone(self._leaving) for worker in self._alive))
        self._alive.clear()

    async def end(self) -> None:
        """Have those that are left end at once."""
        await self._rest()
        for worker in self._alive:
            worker.abandon()
        await asyncio.gather(*(worker.gone(LEAVING_SECONDS) for worker in self._alive))
        self._alive.clear()

    async def _rest(self) -> None:
        """Start and replace nothing any more."""
        await self._tasks.stop()
