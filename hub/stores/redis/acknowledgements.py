"""Wait until what a server has accepted is also on a replica, or on its disk.

Redis counts what was written before, over the same connection (``WAIT``, ``WAITAOF``), and a
connection that waits does nothing else. So one of its own writes something small and waits: what
was accepted over any connection before that is counted, too. All who come while it waits share the
next wait. So there is one at a time, however many writers there are.

What is not confirmed in time is not taken back: it may be safe a moment later.
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal

from redis.exceptions import ResponseError

from hub.domain.errors import StoreError
from hub.stores.redis.client import Commands

__all__ = ["Acknowledge", "Acknowledgements"]

Acknowledge = Literal["memory", "replica", "disk"]
"""What an acknowledged write survives: the end of its hub, of the server's machine, or of power."""

WAIT_SECONDS: Final = 5.0
"""How long a writer waits to be told that it is safe."""

ANSWER_SECONDS: Final = 5.0
"""How much later a server may say that it is not, until it is given up."""

KEPT_SECONDS: Final = 86_400


class Acknowledgements:
    """A connection that waits; `open` it first and `close` it in the end."""

    def __init__(self, url: str, how: Acknowledge, key: str) -> None:
        """``key`` is where it writes something small."""
        self._commands = Commands(url)
        self._how = how
        self._key = key
        self._waiters: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def lost(self) -> asyncio.Future[StoreError]:
        """Why it can no longer be used, once it cannot."""
        return self._commands.lost

    async def open(self) -> None:
        """Connect.

        Raises:
            StoreError: ``store_unavailable``: there is no server, or it refuses the hub.
        """
        await self._commands.open()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Disconnect; who waits is told."""
        await self._commands.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._tell(self._waiters, self.lost.result())

    async def safe(self) -> None:
        """Return once all that was accepted before this call is safe.

        Raises:
            StoreError: ``store_slow``: that is not known; ``store_unavailable``: the server is
                lost.
        """
        if self.lost.done():
            raise self.lost.result()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake.set()
        await waiter

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiters, self._waiters = self._waiters, []
            try:
                error = None if await self._waited() else _unsafe(self._how)
            except StoreError as lost:
                error = lost
            except ResponseError:
                error = _unsafe(self._how)  # it was demoted, for example
            except TimeoutError:
                error = _unsafe(self._how)
                await self._commands.close()
            except BaseException:
                self._tell(waiters, _unsafe(self._how))
                raise
            self._tell(waiters, error)

    async def _waited(self) -> bool:
        """Whether what was accepted so far is safe, or has become so in time."""
        milliseconds = round(WAIT_SECONDS * 1000)
        written = self._commands.ask("SET", self._key, "1", "EX", KEPT_SECONDS)
        disk = self._how == "disk"
        wait = ("WAITAOF", 1, 0) if disk else ("WAIT", 1)
        async with asyncio.timeout(WAIT_SECONDS + ANSWER_SECONDS):
            _, found = await asyncio.gather(written, self._commands.ask(*wait, milliseconds))
        return bool(found[0] if disk else found)

    @staticmethod
    def _tell(waiters: list[asyncio.Future[None]], error: StoreError | None) -> None:
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)


def _unsafe(how: Acknowledge) -> StoreError:
    where = "on its disk" if how == "disk" else "on a replica"
    said = f"Redis has not confirmed that the write is {where}: read whether it is there"
    return StoreError(said, code="store_slow")
