"""A mirror that a hub holds: who waits for a change of it, and the changes that wait for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from hub.domain.errors import HubError, StoreError
from hub.stores.shared import Entry, Notice, SharedEngine, SourceHold, State, join
from hub.streams.mirror import Mirror

__all__ = ["READ_BYTES", "HeldMirror", "Met", "attach", "missing", "unconfirmed"]

log = logging.getLogger("hub.streams")

Met = Callable[[Mirror], bool | None]
"""Whether something has come into a mirror; ``None`` if it never will."""

READ_BYTES: Final = 1024 * 1024
"""Bytes that are read at a time to catch up."""


class HeldMirror:
    """A mirror, those who wait for a change of it, and the changes that wait for it."""

    __slots__ = ("mirror", "name", "since", "waiters", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.mirror: Mirror | None = None
        self.waiting: list[Notice | None] | None = []
        """Changes that were heard while it is loaded; ``None`` if it is not being loaded."""
        self.waiters: list[tuple[Met, asyncio.Future[None]]] = []
        self.since = 0.0
        """When it was last used, by the clock of the sweeps."""

    def wake(self, *, over: bool = False) -> None:
        """Tell those who wait for something that it has come, or never will.

        ``over``: nothing more will come.
        """
        left: list[tuple[Met, asyncio.Future[None]]] = []
        for met, waiter in self.waiters:
            found = None if self.mirror is None else met(self.mirror)
            if waiter.done():
                continue
            if found:
                waiter.set_result(None)
            elif found is None or over:
                waiter.set_exception(unconfirmed())
            else:
                left.append((met, waiter))
        self.waiters = left

    @property
    def in_use(self) -> bool:
        """Whether somebody follows it or waits for it, or a generation runs in it."""
        mirror = self.mirror
        if mirror is None or self.waiters or len(mirror.fanout):
            return True
        return mirror.running is not None


async def missing(mirror: Mirror, state: State, engine: SharedEngine) -> list[bytes] | None:
    """The records from the mirror's tail to the engine's; ``None`` if some are lost."""
    bodies = join(_from(state, mirror.tail), mirror.tail)
    while (offset := mirror.tail + len(bodies)) < state.tail:
        more = join(await engine.read(mirror.name, offset, READ_BYTES), offset)
        if not more:
            return None
        bodies += more
    return bodies[: state.tail - mirror.tail]


async def attach(mirror: Mirror, engine: SharedEngine) -> None:
    """Put back what belongs to other keys than the stream's, and may be lost, too."""
    try:
        if mirror.running is not None:
            await engine.enlist(mirror.node, mirror.name, mirror.running)
        for prompt in mirror.queue:
            await engine.note_waiting(mirror.name, prompt.generation)
        fork, hold = mirror.settings.fork, SourceHold.of(mirror.name, mirror.settings)
        if fork is not None and hold is not None:
            await engine.hold(hold, fork.offset)
    except HubError as error:
        # The source may come back later, or never.
        log.warning("stream %s was put back without its source: %s", mirror.name, error)


def _from(state: State, offset: int) -> list[Entry]:
    """The entries of a state from the one that covers an offset on."""
    return [entry for entry in state.entries if entry.end > offset]


def unconfirmed() -> StoreError:
    return StoreError("the write is not confirmed: read whether it is there", code="store_slow")
