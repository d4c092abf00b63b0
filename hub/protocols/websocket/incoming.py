"""What a client has sent of a WebSocket message that is not complete.

aiohttp collects a message before anybody sees it, however long that takes. So its bytes are counted
as they come, like those of a request's body: they take up the memory for bodies, and have a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aiohttp import WSMessage, WSMsgType

from hub.domain.errors import LimitExceeded
from hub.domain.memory_budget import MemoryBudget
from hub.domain.principal import Principal

__all__ = ["Incoming"]

FREE: Final = 65_536
"""Bytes of a message that are not counted. Nearly all messages are smaller."""

CONTROL_HEAD: Final = 6
"""Bytes of a ping besides its data."""


class Incoming:
    """Counts what comes on one connection until a message is complete.

    A message takes from ``budget`` for whom ``by`` returns, and may come for ``seconds``; ``cut``
    ends the connection of one that is too slow or finds no room, or that has more than ``early``
    bytes of somebody who has shown no credential.
    """

    __slots__ = (
        "_budget",
        "_by",
        "_caller",
        "_cut",
        "_early",
        "_parser",
        "_seconds",
        "_size",
        "_taken",
        "_timer",
        "answering",
    )

    def __init__(
        self,
        budget: MemoryBudget,
        by: Callable[[], Principal],
        cut: Callable[[], None],
        *,
        early: int,
        seconds: float,
    ) -> None:
        self.answering = False
        """Whether a message is being answered: others may be complete, and wait for that."""
        self._budget = budget
        self._by = by
        self._cut = cut
        self._early = early
        self._seconds = seconds
        self._size = 0
        """The bytes since the last message, those of pings aside."""
        self._taken = 0
        self._caller: str | None = None
        """For whom they were taken."""
        self._timer: asyncio.TimerHandle | None = None
        self._parser: Any = None

    def listen(self, protocol: Any) -> None:
        """Count from now on what aiohttp's ``protocol`` gives its parser of WebSocket frames."""
        self._parser, protocol._payload_parser = protocol._payload_parser, self

    def feed_data(self, data: bytes) -> Any:
        """Take what has come, in the place of the parser."""
        self._size += len(data)
        fed = self._parser.feed_data(data)
        if self._size > FREE:
            # Whoever waits for a message is woken first, and takes what is complete.
            asyncio.get_running_loop().call_soon(self._count)
        return fed

    def feed_eof(self) -> None:
        self._parser.feed_eof()

    def _count(self) -> None:
        by = self._by()
        if self._size <= FREE:
            return
        if by.is_nobody and self._size > self._early and not self.answering:
            self._cut()
            return
        if self._timer is None:
            self._begin(by.counted_as)
        try:
            self._budget.take(max(0, self._size - self._taken), self._caller)
        except LimitExceeded:
            self._cut()
        else:
            self._taken = max(self._size, self._taken)

    def _begin(self, caller: str | None) -> None:
        self._caller = caller
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._end_time)

    def _end_time(self) -> None:
        if self.answering:
            self._begin(self._caller)
        else:
            self._cut()

    def came(self, message: WSMessage) -> None:
        """Note that a message is complete; a ping may come within another."""
        if message.type in (WSMsgType.PING, WSMsgType.PONG):
            self._size = max(0, self._size - CONTROL_HEAD - len(message.data))
        else:
            self.answering = True
            self.end()

    def end(self) -> None:
        """Give back what was taken."""
        self._size = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._budget.give(self._taken, self._caller)
            self._taken = 0
