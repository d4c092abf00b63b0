"""Streams in the order of their names: those in memory, and those that only the store has.

A page begins after a name, not at a number, so it costs the same wherever it lies, and what
begins or goes meanwhile moves nothing else. The streams themselves stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter

from hub.stores import Listed, Listing
from hub.streams.followed import FollowedStream

__all__ = ["page"]

InMemory = Callable[[], Iterable[tuple[str, FollowedStream | None]]]
"""Names, with nothing for those that are not to be shown."""


async def page(
    store: Listing, in_memory: InMemory, prefix: str, after: str, limit: int, now: float
) -> tuple[list[Listed], bool]:
    """So many streams, and whether there are more.

    Their names begin with ``prefix`` and lie after ``after``; ``now`` is in seconds since 1970.
    """
    found: list[Listed] = []
    while True:
        wanted = limit + 1 - len(found)
        stored = await store.listed(prefix, after, wanted, now)
        end = stored[-1].name if len(stored) == wanted else None
        # Those in memory are as they are now; the store may not know of them yet.
        named = {one.name: one for one in stored}
        for name, stream in in_memory():
            if name.startswith(prefix) and after < name and (end is None or name <= end):
                named.pop(name, None)
                if stream is not None:
                    named[name] = _as_listed(stream)
        found += sorted(named.values(), key=attrgetter("name"))
        if end is None or len(found) > limit:
            return found[:limit], len(found) > limit
        after = end


def _as_listed(stream: FollowedStream) -> Listed:
    return Listed(stream.name, stream.content_type, stream.position, stream.closed)
