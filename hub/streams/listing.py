"""Lists streams by name: those in memory, and those that only the store has.

A page begins after a name, not at a number. So every page costs the same, and streams that are
created or removed meanwhile do not shift the others. No stream is loaded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from heapq import nsmallest
from operator import attrgetter
from typing import Final

from hub.stores import Listed
from hub.streams.followed import FollowedStream
from hub.streams.turns import next_turn

__all__ = ["page"]

SLICE: Final = 1000
"""Streams in memory that are looked at in one turn of the loop."""

InMemory = Callable[[], Iterable[tuple[str, FollowedStream | None]]]
"""Names and their streams as they are now, though streams come and go while they are looked at;
``None`` hides a name."""

StoredPage = Callable[[str, str, int, float], Awaitable[list[Listed]]]
"""See `hub.stores.Listing.listed`."""


async def page(
    stored_page: StoredPage, in_memory: InMemory, prefix: str, after: str, limit: int, now: float
) -> tuple[list[Listed], bool]:
    """Up to ``limit`` streams by name, and whether there are more.

    Their names begin with ``prefix`` and come after ``after``; ``now`` is in seconds since 1970.
    """
    found: list[Listed] = []
    while True:
        wanted = limit + 1 - len(found)
        stored = await stored_page(prefix, after, wanted, now)
        end = stored[-1].name if len(stored) == wanted else None
        # The store may not know yet of changes to those in memory.
        named = {one.name: one for one in stored}
        held: dict[str, FollowedStream] = {}
        for count, (name, stream) in enumerate(in_memory(), start=1):
            if name.startswith(prefix) and after < name and (end is None or name <= end):
                named.pop(name, None)
                if stream is not None:
                    held[name] = stream
            if count % SLICE == 0:
                held = {first: held[first] for first in nsmallest(wanted, held)}
                await next_turn()
        named |= {first: _listed(held[first]) for first in nsmallest(wanted, held)}
        found += sorted(named.values(), key=attrgetter("name"))
        if end is None or len(found) > limit:
            return found[:limit], len(found) > limit
        after = end


def _listed(stream: FollowedStream) -> Listed:
    settings = stream.settings
    return Listed(
        stream.name, settings.content_type, stream.position, stream.closed, settings.owner
    )
