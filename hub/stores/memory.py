"""The store that keeps nothing: streams live as long as the process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

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
    Listed,
    Removed,
    Saved,
    Unended,
)

__all__ = ["MemoryCredentials", "MemoryStore"]


class MemoryCredentials:
    """Keeps credentials as long as the process runs."""

    def __init__(self) -> None:
        self._kinds: dict[str, dict[str, Credential]] = {}

    async def add(self, credential: Credential) -> None:
        held = self._kinds.setdefault(credential.kind, {})
        if credential.id in held:
            raise Conflict(
                f'there is already a credential "{credential.id}"', code="credential_exists"
            )
        by_end = sorted(held.values(), key=lambda one: one.ended)
        for place, one in enumerate(by_end):
            due = one.ended <= credential.created - KEEP_ENDED_SECONDS
            if due or (one.ended <= credential.created and len(by_end) - place >= CREDENTIALS):
                del held[one.id]
        if len(held) >= CREDENTIALS:
            raise LimitExceeded(
                f"there are {CREDENTIALS} already: revoke some", code="too_many_credentials"
            )
        held[credential.id] = credential

    async def find(self, kind: str, id_: str) -> Credential | None:
        return self._kinds.get(kind, {}).get(id_)

    async def listed(self, kind: str, after: str, limit: int) -> list[Credential]:
        held = self._kinds.get(kind, {})
        return [held[id_] for id_ in sorted(held) if id_ > after][:limit]

    async def revoke(self, kind: str, id_: str, now: float) -> Credential | None:
        found = await self.find(kind, id_)
        if found is not None and found.revoked is None:
            found = self._kinds[kind][id_] = replace(found, revoked=now)
        return found


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

    async def keyed(self, key: str) -> Keyed | None:
        return None

    def lived(self, epoch: int) -> bool:
        return False

    async def locate(self, generation: str) -> GenerationLocation | None:
        return None

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
        """Forget the change, but remember removed names for a while."""
        if isinstance(change, Removed):
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
