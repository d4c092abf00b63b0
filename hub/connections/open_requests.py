"""Requests in progress, as far as a hub that shuts down needs to know them.

Most requests end by themselves, and the hub waits for them. Others, such as readers, would go on
forever, and the hub ends them.
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
    """The requests in progress."""

    def __init__(self) -> None:
        self.leaving = False
        """Whether new requests are refused."""
        self.ending: set[asyncio.Task[Any]] = set()
        """Those that end by themselves."""
        self._polls: set[asyncio.Future[None]] = set()

    def enter(self) -> None:
        """Note that the current task answers a request."""
        if task := asyncio.current_task():
            self.ending.add(task)
            task.add_done_callback(self.ending.discard)

    def stay(self) -> None:
        """Note that the request of the current task goes on until the hub ends it.

        Raises:
            Draining: as `admit`.
        """
        self.admit()
        if task := asyncio.current_task():
            self.ending.discard(task)

    def admit(self) -> None:
        """Check that new requests are accepted.

        Raises:
            Draining: the hub is shutting down.
        """
        if self.leaving:
            raise Draining("the hub is shutting down: try again in a moment")

    async def until(
        self, stream: FollowedStream, met: Callable[[], bool], *, within: float
    ) -> None:
        """Wait for a stream, see `hub.streams.wait.until`.

        Raises:
            Draining: the hub shuts down before.
        """
        self.stay()
        await wait.until(stream, met, within=within, among=self._polls)
        if not met():
            self.admit()

    def leave(self) -> None:
        """Refuse new requests, and end the waits of `until`."""
        self.leaving = True
        for poll in self._polls:
            if not poll.done():
                poll.set_result(None)
