"""Lists streams by name: those in memory, and those that only the store has.

A page begins after a name, not at a number. So every page costs the same, and streams that are
created or removed meanwhile do not shift the others. No stream is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter

from hub.stores import Listed, Listing
from hub.streams.followed import FollowedStream

__all__ = ["page"]

InMemory = Callable[[], Iterable[tuple[str, FollowedStream | None]]]
"""Names and their streams; ``None`` hides a name."""


async def page(
    store: Listing, in_memory: InMemory, prefix: str, after: str, limit: int, now: float
) -> tuple[list[Listed], bool]:
    """Up to ``limit`` streams by name, and whether there are more.

    Their names begin with ``prefix`` and come after ``after``; ``now`` is in seconds since 1970.
    """
    found: list[Listed] = []
    while True:
        wanted = limit + 1 - len(found)
        stored = await store.listed(prefix, after, wanted, now)
        end = stored[-1].name if len(stored) == wanted else None
        # The store may not know yet of changes to those in memory.
        named = {one.name: one for one in stored}
        for name, stream in in_memory():
            if name.startswith(prefix) and after < name and (end is None or name <= end):
                named.pop(name, None)
                if stream is not None:
                    settings = stream.settings
                    named[name] = Listed(
                        name, settings.content_type, stream.position, stream.closed, settings.owner
                    )
        found += sorted(named.values(), key=attrgetter("name"))
        if end is None or len(found) > limit:
            return found[:limit], len(found) > limit
        after = end
