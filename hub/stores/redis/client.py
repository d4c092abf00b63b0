"""Connections to Redis: one for commands and one for channels, each with one loop that reads.

They are `redis-py`'s own, which knows TLS, ACLs and sentinels; the queues before them are ours.
Commands of one iteration of the event loop are written together, and replies come in their order,
so thousands may be under way without a task or a connection for each. redis-py's pipelines and
its pub/sub take two to eight times the processor time.

A connection is used until it fails, and never again. `lost` tells that it has, and why.
"""

from __future__ import annotations

import asyncio
import logging
import math
from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from hub.domain.errors import StoreError

__all__ = ["Commands", "Reply", "Subscriptions", "unavailable"]

log = logging.getLogger("hub.store")

Reply = Any
"""Bytes, a number, ``None``, or a list of replies."""

UNDER_WAY: Final = 10_000
"""Commands that may wait for their replies at a time."""

CONNECT_SECONDS: Final = 5.0


def unavailable(why: object) -> StoreError:
    """The error of whatever needs a server that cannot be reached, or does not answer."""
    return StoreError(f"Redis cannot be used at the moment: {why}", code="store_unavailable")


class _Link:
    """One connection, its queue, and the two tasks that write and read.

    Of the URL, its password is the only part that must not be shown to anybody.
    """

    def __init__(self, url: str) -> None:
        self._connection = _connection(url)
        self._queue: list[bytes] = []
        self._queued = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.lost: asyncio.Future[StoreError] = asyncio.get_running_loop().create_future()
        """Why it can no longer be used, once it cannot."""

    async def open(self) -> None:
        """Connect.

        Raises:
            StoreError: ``store_unavailable``: there is no server, or it refuses the hub.
        """
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connection.connect()  # type: ignore[no-untyped-call]  # redis-py's
        except BaseException as error:
            await self._connection.disconnect(nowait=True)
            if isinstance(error, RedisError | OSError):
                raise _refused(error) from None
            raise
        self._tasks = [
            asyncio.create_task(self._run(self._write)),
            asyncio.create_task(self._run(self._read)),
        ]

    async def close(self) -> None:
        """Close it; what was under way fails."""
        self._lose(unavailable("the connection was closed"))
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            await self._connection.disconnect(nowait=True)

    def _send(self, *words: str | bytes | int) -> None:
        self._queue.append(pack_command(words))  # type: ignore[arg-type]  # it takes any number
        self._queued.set()

    async def _run(self, loop: Callable[[], Awaitable[None]]) -> None:
        try:
            await loop()
        except (RedisError, OSError) as error:
            self._lose(unavailable(error))
        except Exception:
            # A connection that nobody reads would look like one on which nothing happens.
            log.exception("a connection to Redis failed")
            self._lose(unavailable("the hub failed: see its log"))

    def _lose(self, why: StoreError) -> None:
        if not self.lost.done():
            self.lost.set_result(why)

    async def _write(self) -> None:
        while True:
            await self._queued.wait()
            self._queued.clear()
            written, self._queue = self._queue, []
            await self._connection.send_packed_command(written, check_health=False)

    async def _read(self) -> None:
        while True:
            reply: Reply
            try:
                reply = await self._connection.read_response(
                    disable_decoding=True, timeout=math.inf, disconnect_on_error=False
                )
            except ResponseError as error:
                reply = error
            self._take(reply)

    @abstractmethod
    def _take(self, reply: Reply) -> None:
        """Take the next thing that the server says."""


class Commands(_Link):
    """A connection for commands."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._awaited: deque[asyncio.Future[Reply]] = deque()

    def ask(self, *words: str | bytes | int) -> asyncio.Future[Reply]:
        """Send a command; its reply, or the `redis.exceptions.ResponseError` that it is.

        A reply that does not come fails with the reason for which the connection was lost. Whether
        the command was done is not known then.

        Raises:
            StoreError: ``store_unavailable``: the connection is lost; ``store_slow``: too many
                commands are under way.
        """
        if self.lost.done():
            raise self.lost.result()
        if len(self._awaited) >= UNDER_WAY:
            raise StoreError("Redis is too slow for what is asked of it", code="store_slow")
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._awaited.append(reply)
        self._send(*words)
        return reply

    def _take(self, reply: Reply) -> None:
        if self.lost.done():
            return
        awaited = self._awaited.popleft()
        if awaited.done():
            return  # nobody waits for it any more
        if isinstance(reply, ResponseError):
            awaited.set_exception(reply)
        else:
            awaited.set_result(reply)

    def _lose(self, why: StoreError) -> None:
        super()._lose(why)
        while self._awaited:
            awaited = self._awaited.popleft()
            if not awaited.done():
                awaited.set_exception(self.lost.result())
                awaited.exception()  # perhaps nobody waits for it


class Subscriptions(_Link):
    """A connection that listens to channels; to those of its own slots if they are ``sharded``."""

    def __init__(self, url: str, *, sharded: bool = False) -> None:
        super().__init__(url)
        self._subscribe, self._unsubscribe = (
            ("SSUBSCRIBE", "SUNSUBSCRIBE") if sharded else ("SUBSCRIBE", "UNSUBSCRIBE")
        )
        self._subscribed, self._unsubscribed = (
            word.lower().encode() for word in (self._subscribe, self._unsubscribe)
        )
        self._message = b"smessage" if sharded else b"message"
        self._leaving: Counter[str] = Counter()
        """How often each channel is being left."""
        self._heard: dict[str, Callable[[bytes], None]] = {}
        self._confirmed: deque[asyncio.Future[None]] = deque()
        """Who waits for each ``SUBSCRIBE``, which are confirmed in their order."""
        self._pongs: deque[asyncio.Future[None]] = deque()

    async def subscribe(self, channel: str, heard: Callable[[bytes], None]) -> None:
        """Call ``heard`` with each message; returns once none is missed.

        A channel has one listener at a time.

        Raises:
            StoreError: ``store_unavailable``: the connection is lost.
        """
        if self.lost.done():
            raise self.lost.result()
        self._heard[channel] = heard
        self._confirmed.append(confirmed := asyncio.get_running_loop().create_future())
        self._send(self._subscribe, channel)
        await confirmed

    def unsubscribe(self, channel: str) -> None:
        """Listen to a channel no longer."""
        self._heard.pop(channel, None)
        if not self.lost.done():
            self._leaving[channel] += 1
            self._send(self._unsubscribe, channel)

    def caught_up(self) -> asyncio.Future[None]:
        """Done once all messages that were published before this call have been heard.

        At least one channel must be subscribed.

        Raises:
            StoreError: ``store_unavailable``: the connection is lost.
        """
        if self.lost.done():
            raise self.lost.result()
        pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)
        self._send("PING")
        return pong

    def _take(self, reply: Reply) -> None:
        if isinstance(reply, ResponseError):
            self._lose(unavailable(reply))
            return
        kind, name, *said = reply
        if kind == self._message:
            heard = self._heard.get(name.decode())
            if heard is not None:
                heard(said[0])
        elif kind == self._unsubscribed:
            self._left(name.decode())
        elif kind in (b"pong", self._subscribed):
            awaited = (self._pongs if kind == b"pong" else self._confirmed).popleft()
            if not awaited.done():
                awaited.set_result(None)

    def _left(self, channel: str) -> None:
        self._leaving[channel] -= 1
        if self._leaving[channel] < 0:
            self._lose(unavailable("another server of the cluster has its slots"))
        elif not self._leaving[channel]:
            del self._leaving[channel]

    def _lose(self, why: StoreError) -> None:
        super()._lose(why)
        for awaited in (*self._confirmed, *self._pongs):
            if not awaited.done():
                awaited.set_exception(self.lost.result())
                awaited.exception()  # perhaps nobody waits for it
        self._confirmed.clear()
        self._pongs.clear()


def _refused(error: Exception) -> StoreError:
    """Why there is no connection, without what the hub has said to the server."""
    if isinstance(error, AuthenticationError):
        return unavailable("it refuses the user or the password")
    if isinstance(error, TimeoutError):
        return unavailable("it does not answer")
    return unavailable(error)


def _connection(url: str) -> AbstractConnection:
    """A connection to the server of a URL, not open yet."""
    settings: dict[str, Any] = dict(parse_url(url))
    kind = settings.pop("connection_class", Connection)
    # No time limit on reading: a server has nothing to say until something happens.
    given = {"socket_timeout": None, "socket_connect_timeout": CONNECT_SECONDS, "protocol": 2}
    connection: AbstractConnection = kind(**settings, **given)
    return connection
