"""Requests in progress, as far as a hub that shuts down needs to know them.

Most requests end by themselves, and the hub waits for them. Others, such as readers, would go on
forever, and the hub ends them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hub.connections.one_at_a_time import OneAtATime
from hub.domain.at_once import AtOnce
from hub.domain.errors import Draining, RateLimited
from hub.domain.principal import Principal
from hub.streams import wait
from hub.streams.followed import FollowedStream

__all__ = ["OpenRequests"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class _Poll:
    """A wait of `OpenRequests`: whose it is, and the future that ends it, while it lasts."""

    by: Principal
    waits: set[asyncio.Future[None]] = field(default_factory=set)

    def end(self) -> None:
        for wait_ in self.waits:
            if not wait_.done():
                wait_.set_result(None)


class OpenRequests:
    """The requests in progress; of one principal ``of_one`` stand open at a time (0: any number).

    Those are WebSockets, streaming responses and answers that are waited for.
    """

    def __init__(self, *, of_one: int = 0) -> None:
        self.open = AtOnce(
            of_one,
            lambda: RateLimited(
                f"{of_one} of your connections are open, the most that may be at a time "
                "(auth.limits.connections): close one"
            ),
        )
        """Those of each principal that stand open, if they are limited."""
        self.reads = OneAtATime()
        """Held by a caller while much may be read for it that it asks for with a few bytes;
        see `hub.protocols.one_read`."""
        self.leaving = False
        """Whether new requests are refused."""
        self.ending: set[asyncio.Task[Any]] = set()
        """Those that end by themselves."""
        self._polls: set[_Poll] = set()
        self._answers: set[_Poll] = set()
        """The waits of `answer`."""

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
            # Readers stay by thousands, and this would be a fiftieth of the memory of an idle one.
            task.remove_done_callback(self.ending.discard)

    def admit(self) -> None:
        """Check that new requests are accepted.

        Raises:
            Draining: the hub is shutting down.
        """
        if self.leaving:
            raise Draining("the hub is shutting down: try again in a moment")

    async def until(
        self, stream: FollowedStream, met: Callable[[], bool], *, within: float, by: Principal
    ) -> None:
        """Wait for a stream, see `hub.streams.wait.until`; also ended by `end_polls`.

        Raises:
            Draining: the hub shuts down before.
        """
        self.stay()
        poll = _Poll(by)
        self._polls.add(poll)
        try:
            await wait.until(stream, met, within=within, among=poll.waits)
        finally:
            self._polls.remove(poll)
        if not met():
            self.admit()

    async def answer(self, awaited: Awaitable[T], by: Principal) -> T | None:
        """Wait for what a request is answered with; ``None`` if `end_answers` ended that before.

        A hub that shuts down waits for it, too.
        """
        ended = asyncio.get_running_loop().create_future()
        poll = _Poll(by, {ended})
        self._answers.add(poll)
        task = asyncio.ensure_future(awaited)
        try:
            await asyncio.wait([task, ended], return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            self._answers.remove(poll)
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    def end_answers(self, ends: Callable[[Principal], bool]) -> None:
        """End the waits of `answer` of these principals."""
        _end(self._answers, ends)

    def end_polls(self, ends: Callable[[Principal], bool]) -> None:
        """End the waits of `until` of these principals."""
        _end(self._polls, ends)

    def leave(self) -> None:
        """Refuse new requests, and end the waits of `until`."""
        self.leaving = True
        self.end_polls(lambda _: True)


def _end(polls: Iterable[_Poll], ends: Callable[[Principal], bool]) -> None:
    for poll in polls:
        if ends(poll.by):
            poll.end()
