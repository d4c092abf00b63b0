"""Lists the streams of all partitions by name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final

from hub.stores import Listed
from hub.stores.redis.client import Reply
from hub.stores.redis.keys import PartitionKeys
from hub.stores.redis.state import parse_listed

__all__ = ["Listing"]

LISTED: Final = 16
"""Streams of a partition that are listed at a time, at least."""

Call = Callable[[str, int, Sequence[str], Iterable[str | bytes | int]], Awaitable[list[Reply]]]
"""Runs a script in a partition, with keys and arguments."""


class Page:
    """What was read of the streams of one partition, up to the name ``last``."""

    def __init__(self, partition: int, after: str) -> None:
        self.partition = partition
        self.last = after
        self.more = True
        self.found: list[Listed] = []


class Listing:
    """Reads the names of each partition in pages, and merges them."""

    def __init__(self, partitions: Mapping[int, PartitionKeys], call: Call) -> None:
        self._partitions = partitions
        self._call = call

    async def listed(self, prefix: str, after: str, limit: int, owner: str | None) -> list[Listed]:
        """See `hub.stores.shared.SharedEngine.listed`."""
        pages = [Page(number, after) for number in self._partitions]
        while True:
            found = sorted((one for page in pages for one in page.found), key=attrgetter("name"))[
                :limit
            ]
            end = found[-1].name if len(found) == limit else None
            # A partition may have more of those that come before the end.
            behind = [page for page in pages if page.more and (end is None or page.last < end)]
            if not behind:
                return found
            size = max(LISTED, limit // LISTED)
            await asyncio.gather(*(self._extend(page, prefix, size, owner) for page in behind))

    async def _extend(self, page: Page, prefix: str, size: int, owner: str | None) -> None:
        """Read more of a partition."""
        keys = self._partitions[page.partition]
        lead = "" if owner is None else f"{owner}\0"
        after = page.last >= prefix
        start = f"({lead}{page.last}" if after and page.last else f"[{lead}{prefix}"
        end = f"({lead}{prefix}".encode() + b"\xff"
        # The script takes the keys of a stream, and uses those of the partition.
        names = [keys.incarnation, *[keys.names] * 6, *keys[1:5]]
        words = (start, end, size, keys.meta, owner or "")
        while True:
            found = await self._call("list", page.partition, names, words)
            if found[0] == b"ok":
                break
            await asyncio.sleep(found[1] / 1000)
        _, count, last, streams = found
        page.more = count == size
        page.last = last.decode() if count else page.last
        page.found += [parse_listed(one) for one in streams]
