"""Presence over several hubs: each tells the others which members it has.

What a hub says of a stream is all its members there, so a message that got lost is made up for by
the next one. A hub that begins to listen asks the others. Nothing is kept: whoever leaves says so,
and the members of a hub whose lease is over are dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import orjson

from hub.connections.participants import ROUND_SECONDS, Participants
from hub.domain.errors import StoreError
from hub.stores.shared import SharedEngine
from hub.streams.mirrors import Mirrors

__all__ = ["SharedPresence"]

log = logging.getLogger("hub.participants")

LOOK_SECONDS: Final = 1.0
"""How often it is looked which hubs are alive."""


class SharedPresence:
    """Tells other hubs of the members here, and `Participants` of those there; `run` it."""

    def __init__(self, participants: Participants, mirrors: Mirrors, node: str) -> None:
        self._participants = participants
        self._mirrors = mirrors
        self._node = node
        self._topics: set[str] = set()
        """The streams of which other hubs are heard."""
        self._asked: set[str] = set()
        """Those of which others want to hear."""
        self._open = False

    async def _join(self, engine: SharedEngine) -> None:
        self._topics.clear()
        self._participants.mark_all()

    async def run(self) -> None:
        """Tell and hear until cancelled; there is an engine."""
        if not self._open:
            self._open = self._participants.shared = True
            await self._mirrors.each_engine(self._join)
        async with asyncio.TaskGroup() as both:  # of which neither may fail unnoticed
            both.create_task(self._tell_changes())
            both.create_task(self._drop_dead())

    async def _tell_changes(self) -> None:
        while True:
            await self._participants.changed.wait()
            self._participants.changed.clear()
            await self._tell()
            await asyncio.sleep(ROUND_SECONDS)

    async def _tell(self) -> None:
        """Tell of the streams whose members have changed here, or of which others have asked."""
        streams = self._participants.take_changed() | self._asked
        self._asked = set()
        try:
            engine = self._mirrors.engine
            for stream in streams:
                own = self._participants.own(stream)
                ask = own is not None and stream not in self._topics
                if ask:
                    await engine.hear(_topic(stream), partial(self._heard, stream))
                    self._topics.add(stream)
                elif own is None and stream in self._topics:
                    self._topics.discard(stream)
                    engine.ignore(_topic(stream))
                await engine.say(_topic(stream), self._message(stream, own or {}, ask=ask))
        except StoreError as error:
            log.debug("members are not told: %s", error)
            self._asked |= streams  # which makes them be told in the next round
            self._participants.changed.set()

    def _message(self, stream: str, own: Mapping[str, bytes], *, ask: bool) -> bytes:
        members = {member: state.decode() for member, state in own.items()}
        users = self._participants.users(stream)
        return orjson.dumps({"node": self._node, "ask": ask, "members": members, "users": users})

    def _heard(self, stream: str, message: bytes) -> None:
        try:
            said: dict[str, Any] = orjson.loads(message)
            node, ask = said["node"], said["ask"]
            states = {member: state.encode() for member, state in said["members"].items()}
            users = dict(said.get("users", {}))  # an older hub tells of none
        except (AttributeError, KeyError, TypeError, ValueError):
            log.warning("what another hub says of the members of %s is not understood", stream)
            return
        if node == self._node:
            return
        self._participants.put_others(stream, node, states, users)
        if ask:
            self._asked.add(stream)
            self._participants.changed.set()

    async def _drop_dead(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._topics:
                continue
            try:
                alive = await self._mirrors.engine.nodes()
            except StoreError:
                continue  # nobody is known to be dead
            self._participants.keep_others(alive)


def _topic(stream: str) -> str:
    return f"presence:{stream}"
