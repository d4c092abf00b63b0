"""The store that keeps nothing: streams live as long as the process."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from hub.domain.errors import Conflict, LimitExceeded
from hub.domain.events import NOTHING
from hub.domain.records import Record
from hub.domain.removed_names import RemovedNames
from hub.stores import (
    CREDENTIALS,
    KEEP_ENDED_SECONDS,
    Change,
    Credential,
    GenerationLocation,
    Keyed,
    Label,
    Listed,
    QueueSet,
    Removed,
    Saved,
    Unended,
)

__all__ = ["MemoryCredentials", "MemoryStore"]


class _Kind:
    """The credentials of one kind: by id, in the order in which they end, and by label."""

    def __init__(self) -> None:
        self.by_id: dict[str, Credential] = {}
        self.ids: list[str] = []
        """In order."""
        self.ends: list[tuple[float, str]] = []
        """When each ends, and its id, in order."""
        self.labelled: dict[Label, list[str]] = {}
        """The ids of those that were not revoked, in order."""

    def put(self, one: Credential) -> None:
        """Keep a credential instead of the one that has its id, if there is one."""
        self.remove(one.id)
        self.by_id[one.id] = one
        insort(self.ids, one.id)
        insort(self.ends, (one.ended, one.id))
        if one.revoked is None:
            for label in one.labels:
                insort(self.labelled.setdefault(label, []), one.id)

    def remove(self, id_: str) -> None:
        one = self.by_id.pop(id_, None)
        if one is None:
            return
        _take(self.ids, id_)
        _take(self.ends, (one.ended, id_))
        if one.revoked is None:
            for label in one.labels:
                _take(self.labelled[label], id_)
                if not self.labelled[label]:
                    del self.labelled[label]

    def make_room(self, now: float) -> None:
        """Remove those that ended long ago, and if there are too many, the one that ended first."""
        while self.ends:
            ended, id_ = self.ends[0]
            crowded = ended <= now and len(self.by_id) >= CREDENTIALS
            if ended > now - KEEP_ENDED_SECONDS and not crowded:
                return
            self.remove(id_)

    def held(self, label: Label, after: str, now: float) -> Iterator[Credential]:
        """Those with a label that hold, after an id, by id."""
        ids = self.labelled.get(label, [])
        found = (self.by_id[id_] for id_ in islice(ids, bisect_right(ids, after), None))
        return (one for one in found if one.holds(now))


class MemoryCredentials:
    """Keeps credentials as long as the process runs."""

    def __init__(self) -> None:
        self._kinds: defaultdict[str, _Kind] = defaultdict(_Kind)

    async def add(self, credential: Credential) -> None:
        kind = self._kinds[credential.kind]
        if credential.id in kind.by_id:
            raise Conflict(
                f'there is already a credential "{credential.id}"', code="credential_exists"
            )
        kind.make_room(credential.created)
        if len(kind.by_id) >= CREDENTIALS:
            raise LimitExceeded(
                f"there are {CREDENTIALS} already: revoke some", code="too_many_credentials"
            )
        kind.put(credential)

    async def find(self, kind: str, id_: str) -> Credential | None:
        return self._kinds[kind].by_id.get(id_)

    async def listed(self, kind: str, after: str, limit: int) -> list[Credential]:
        held = self._kinds[kind]
        first = bisect_right(held.ids, after)
        return [held.by_id[id_] for id_ in held.ids[first : first + limit]]

    async def held(
        self, kind: str, label: Label, after: str, limit: int, now: float
    ) -> list[Credential]:
        return list(islice(self._kinds[kind].held(label, after, now), limit))

    async def count(self, kind: str, label: Label, now: float) -> int:
        return sum(1 for _ in self._kinds[kind].held(label, "", now))

    async def revoke(self, kind: str, id_: str, now: float) -> Credential | None:
        found = await self.find(kind, id_)
        if found is not None and found.revoked is None:
            found = replace(found, revoked=now)
            self._kinds[kind].put(found)
        return found


T = TypeVar("T", str, tuple[float, str])


def _take(ordered: list[T], one: T) -> None:
    """Remove one from a list in order."""
    del ordered[bisect_left(ordered, one)]


class MemoryStore:
    """Forgets every change.

    Its epochs come from the clock (milliseconds since 1970). A reader who returns after a
    restart, with a position in a stream that no longer exists, is reset instead of being sent
    other records from the same offset.
    """

    durable = False
    trouble = None
    full = False
    life = 0
    rejected: Mapping[str, str] = NOTHING

    def __init__(self) -> None:
        self._epoch = 0
        self._removals = RemovedNames()
        self._waiting: dict[str, dict[str, None]] = {}
        """The generations whose prompts wait, by stream."""
        self.credentials = MemoryCredentials()

    async def start(self) -> list[Unended]:
        return []

    async def load(self, stream: str) -> Saved | None:
        return None

    def pending(self, stream: str) -> bool:
        return False

    async def read(self, stream: str, offset: int, limit: int) -> list[Record]:
        return []

    async def expired(self, now: float) -> list[str]:
        return []

    async def listed(self, prefix: str, after: str, limit: int, now: float) -> list[Listed]:
        return []

    async def owned(
        self, owner: str, prefix: str, after: str, limit: int, now: float
    ) -> list[Listed]:
        return []

    async def keyed(self, key: str) -> Keyed | None:
        return None

    def lived(self, epoch: int) -> bool:
        return False

    async def locate(self, generation: str) -> GenerationLocation | None:
        return None

    async def waiting_in(self, generation: str) -> str | None:
        return next((name for name, held in self._waiting.items() if generation in held), None)

    async def unheld(self) -> list[str]:
        return []

    def epoch(self) -> int:
        """The clock, or one more than the last epoch if the clock stands still."""
        self._epoch = max(self._epoch + 1, time.time_ns() // 1_000_000)
        return self._epoch

    def last(self, stream: str) -> int:
        return self._removals.last(stream)

    def admit(self) -> None:
        pass

    async def space(self) -> None:
        pass

    def note(self, change: Change) -> None:
        """Forget the change, but remember where prompts wait, and removed names for a while."""
        if isinstance(change, QueueSet):
            self._waiting[change.stream] = dict.fromkeys(one.generation for one in change.queue)
            if not change.queue:
                del self._waiting[change.stream]
        elif isinstance(change, Removed):
            self._waiting.pop(change.stream, None)
            self._removals.note(change.stream, self._epoch)

    def after(self, done: Callable[[], None], stream: str | None = None) -> None:
        done()

    async def synced(self, stream: str | None = None) -> None:
        pass

    async def rejection(self) -> None:
        await asyncio.get_running_loop().create_future()

    def readmit(self, stream: str) -> None:
        pass

    async def stop(self) -> None:
        pass
