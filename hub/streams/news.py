"""What hubs tell each other besides the changes of streams: revocations, and new owners.

Whoever was let in by one hub may be connected to another. What a hub misses, because it has no
engine for a while, it finds when it has one again: the credentials that were revoked last are kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import orjson

from hub.domain.errors import StoreError
from hub.owned_tasks import OwnedTasks
from hub.stores.shared import SharedEngine
from hub.streams.mirrors import Mirrors

__all__ = ["Batch", "News"]

log = logging.getLogger("hub.streams")

REVOKED: Final = "revoked"
OWNERS: Final = "owners"

KEPT: Final = 10_000
"""How many revoked credentials are kept for hubs that have missed them."""

NAMES: Final = 500
"""Streams of one message."""

RETRY_SECONDS: Final = 0.5

TOLD_SECONDS: Final = 2.0
"""How long whoever revokes a credential waits for the others to be told: without an engine they
show nothing new, and are told once there is one."""


class Batch(NamedTuple):
    """The ids of credentials that were revoked, and the streams that have other owners;
    ``missed``: there may be more streams.
    """

    revoked: Sequence[str]
    owned: Sequence[str]
    missed: bool


class News:
    """Tells other hubs, and hears them; `open` it once there is an engine."""

    def __init__(self, mirrors: Mirrors) -> None:
        self._mirrors = mirrors
        self._revoked: dict[str, None] = {}
        self._owned: dict[str, None] = {}
        self._missed = False
        self._heard = asyncio.Event()
        self._tasks = OwnedTasks("what was to be told to other hubs", log)

    def on_new_owner(self, heard: Callable[[str], None]) -> None:
        """Call ``heard`` at once with each stream in memory of which this hub finds that it has
        another owner, also if it has missed that somebody told it.
        """
        self._mirrors.changed_hands = heard

    async def open(self) -> None:
        await self._mirrors.each_engine(self._join)

    async def _join(self, engine: SharedEngine) -> None:
        await engine.hear(REVOKED, self._hear_revoked)
        await engine.hear(OWNERS, self._hear_owners)
        for message in await engine.said(REVOKED):
            self._hear_revoked(message)
        self._missed = True
        self._heard.set()

    def _hear_revoked(self, message: bytes) -> None:
        self._revoked[message.decode("utf-8", "replace")] = None
        self._heard.set()

    def _hear_owners(self, message: bytes) -> None:
        self._owned.update(dict.fromkeys(orjson.loads(message)))
        self._heard.set()

    async def next(self) -> Batch:
        """What was heard since the last call, once there is something; also what this hub said."""
        await self._heard.wait()
        self._heard.clear()
        batch = Batch(list(self._revoked), list(self._owned), self._missed)
        self._revoked, self._owned, self._missed = {}, {}, False
        return batch

    def tell_revoked(self, credential: str) -> asyncio.Task[None]:
        """Tell all hubs that a credential was revoked, as soon as there is an engine.

        What is returned is done when they were told, or after `TOLD_SECONDS`.
        """
        saying = self._tasks.start(self._say(REVOKED, credential.encode("utf-8", "replace"), KEPT))
        return self._tasks.start(_ended(saying, TOLD_SECONDS))

    def tell_owners(self, streams: Iterable[str]) -> None:
        """Tell all hubs that streams have other owners."""
        names = list(streams)
        for at in range(0, len(names), NAMES):
            self._tasks.start(self._say(OWNERS, orjson.dumps(names[at : at + NAMES])))

    async def _say(self, topic: str, message: bytes, keep: int = 0) -> None:
        while True:
            try:
                await self._mirrors.engine.say(topic, message, keep=keep)
            except StoreError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def stop(self) -> None:
        """Tell nothing more."""
        await self._tasks.stop()


async def _ended(task: asyncio.Task[None], within: float) -> None:
    """Wait for the end of a task, ``within`` seconds at most."""
    await asyncio.wait([task], timeout=within)
