"""Who is being answered: what a hub that goes away has to know of them.

A request either comes to an end by itself, and is waited for; or it would go on for ever, as
a reader does, and is sent off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hub.domain.errors import Draining
from hub.streams import wait
from hub.streams.followed import FollowedStream

__all__ = ["OpenRequests"]


class OpenRequests:
    """The requests under way."""

    def __init__(self) -> None:
        self.leaving = False
        """Nobody is let in any more."""
        self.ending: set[asyncio.Task[Any]] = set()
        """Those that come to an end by themselves."""
        self._polls: set[asyncio.Future[None]] = set()

    def enter(self) -> None:
        """The current task answers a request, until it is done."""
        if task := asyncio.current_task():
            self.ending.add(task)
            task.add_done_callback(self.ending.discard)

    def stay(self) -> None:
        """The request of the current task goes on until it is sent off.

        Raises:
            Draining: the hub is leaving.
        """
        self.admit()
        if task := asyncio.current_task():
            self.ending.discard(task)

    def admit(self) -> None:
        """Whether somebody is let in.

        Raises:
            Draining: the hub is leaving.
        """
        if self.leaving:
            raise Draining("the hub is shutting down: come back in a moment")

    async def until(
        self, stream: FollowedStream, met: Callable[[], bool], *, within: float
    ) -> None:
        """Wait for a stream, see `hub.streams.wait.until`, unless the hub leaves before.

        Raises:
            Draining: it does.
        """
        self.stay()
        await wait.until(stream, met, within=within, among=self._polls)
        if not met():
            self.admit()

    def leave(self) -> None:
        """Let nobody in any more, and let go of those who wait."""
        self.leaving = True
        for poll in self._polls:
            if not poll.done():
                poll.set_result(None)
