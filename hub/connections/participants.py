"""Presence: who takes part in which stream, reported to all participants.

A connection takes part in a stream that it follows, or waits for, with one or several members.
Each has a label, so that tabs which share a connection are several members. Each participant is
sent the full list of members and then the changes; subscribers that do not take part are sent
nothing and cost nothing.

Changes are gathered into *rounds*, the first at once and the next no sooner than `ROUND_SECONDS`
later. A round builds one frame for all participants that were sent the same before, and writes it
to those whose connection is clear. Other connections get an entry in their outbox, like
subscriptions (see `hub.connections.connection`), and the difference is computed when its turn
comes: what waits for a slow reader does not grow.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from secrets import token_hex
from typing import Final, Protocol

from hub.domain import defaults
from hub.domain.errors import LimitExceeded
from hub.domain.fair_share import share
from hub.domain.presence import NOBODY, Presence, View
from hub.frames.websocket import presence_frame

__all__ = ["Attendee", "Participant", "Participants"]

log = logging.getLogger("hub.participants")

ROUND_SECONDS: Final = 0.1
ROUND_WRITES: Final = 2000
"""The most writes a second for one stream: with very many readers rounds are rarer."""

EACH: Final = 16
"""The most members of one connection in one stream …"""

ALL: Final = 128
"""… and in all its streams together."""

SHARED: Final = 8
"""Frames cached within a round: nearly all readers have the same view."""


class Attendee(Protocol):
    """What a participant needs of its connection."""

    parts: dict[str, Participant]
    """By the name of the stream."""

    def note(self, note: Participant) -> None:
        """Write the frame of a note, now or when its turn comes."""


class Participants:
    """The participants of all streams.

    A stream may have ``members``, and a member's state ``state_bytes`` of JSON.
    """

    def __init__(
        self, *, members: int = defaults.PRESENCE, state_bytes: int = defaults.PRESENCE_BYTES
    ) -> None:
        self.state_bytes = state_bytes
        self._members = members
        self._gatherings: dict[str, _Gathering] = {}
        self._changed: set[str] = set()
        self.shared = False
        """Whether somebody tells other hubs of changes."""
        self.changed = asyncio.Event()
        """Set once members of this hub have changed; see `take_changed`."""

    def __len__(self) -> int:
        """The number of members in all streams, without those of other hubs."""
        return sum(len(gathering.own) for gathering in self._gatherings.values())

    @property
    def streams(self) -> frozenset[str]:
        """The names of the streams that have participants."""
        return frozenset(self._gatherings)

    def enter(
        self,
        connection: Attendee,
        stream: str,
        label: str,
        state: bytes,
        user: str | None = None,
    ) -> str:
        """Take part in a stream, or change a member's state; returns the member's public name.

        The members of a ``user`` have its share of a stream (`hub.domain.fair_share`).

        Raises:
            LimitExceeded: the stream, the user or the connection has as many members as it may.
        """
        part = connection.parts.get(stream)
        if part is None or label not in part.members:
            self._check_space(connection, stream, user)
        if part is None:
            gathering = self._gatherings.get(stream)
            if gathering is None:
                gathering = _Gathering(stream, self._gatherings, self._note)
                self._gatherings[stream] = gathering
            part = connection.parts[stream] = Participant(connection, gathering)
        return part.enter(label, state, user)

    def leave(self, connection: Attendee, stream: str, label: str) -> None:
        """Remove the member with a label, if there is one."""
        part = connection.parts.get(stream)
        if part is not None:
            part.leave(label)
            if not part.members:
                part.end()

    # Members of other hubs, see `hub.connections.shared_presence`

    def _note(self, stream: str) -> None:
        if self.shared:
            self._changed.add(stream)
            self.changed.set()

    def mark_all(self) -> None:
        """Note all streams as changed."""
        for stream in self._gatherings:
            self._note(stream)

    def take_changed(self) -> set[str]:
        """The streams whose members of this hub have changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def own(self, stream: str) -> dict[str, bytes] | None:
        """The members of this hub in a stream and their states; ``None`` if nobody takes part."""
        gathering = self._gatherings.get(stream)
        return None if gathering is None else gathering.own

    def users(self, stream: str) -> dict[str, str]:
        """The members of this hub in a stream that count for a user, and for which."""
        gathering = self._gatherings.get(stream)
        if gathering is None:
            return {}
        return {member: user for member, user in gathering.users.items() if member in gathering.own}

    def put_others(
        self, stream: str, node: str, states: Mapping[str, bytes], users: Mapping[str, str]
    ) -> None:
        """Take note of all members that another hub has in a stream, and of their users."""
        gathering = self._gatherings.get(stream)
        if gathering is not None:
            gathering.put_others(node, states, users)

    def keep_others(self, nodes: Collection[str]) -> None:
        """Drop the members of all other hubs than these."""
        for gathering in self._gatherings.values():
            for node in [node for node in gathering.others if node not in nodes]:
                gathering.put_others(node, {}, {})

    def _check_space(self, connection: Attendee, stream: str, user: str | None) -> None:
        gathering, part = self._gatherings.get(stream), connection.parts.get(stream)
        members = 0 if gathering is None else len(gathering.presence)
        if members >= self._members:
            raise LimitExceeded(f"a stream has at most {self._members} participants")
        if gathering is not None and user is not None:
            own = sum(one == user for one in gathering.users.values())
            if own >= share(self._members, members - own):
                raise LimitExceeded(
                    "you have as many participants in this stream as others have left"
                )
        if part is not None and len(part.members) >= EACH:
            raise LimitExceeded(f"a connection is at most {EACH} participants of a stream")
        if sum(len(each.members) for each in connection.parts.values()) >= ALL:
            raise LimitExceeded(f"a connection is at most {ALL} participants of all its streams")


class Participant:
    """One connection's members in one stream, and the view that it was sent last."""

    __slots__ = ("connection", "gathering", "members", "queued", "told")

    def __init__(self, connection: Attendee, gathering: _Gathering) -> None:
        self.connection = connection
        self.gathering = gathering
        self.members: dict[str, str] = {}
        """Public names by label."""
        self.told = NOBODY
        self.queued = False
        gathering.readers[self] = None

    def enter(self, label: str, state: bytes, user: str | None) -> str:
        member = self.members.get(label)
        if member is None:
            member = self.members[label] = f"mem_{token_hex(8)}"
            if user is not None:
                self.gathering.users[member] = user
        self.gathering.put(member, state)
        return member

    def leave(self, label: str) -> None:
        member = self.members.pop(label, None)
        if member is not None:
            self.gathering.drop(member)

    def end(self) -> None:
        """Remove all members, and stop reading."""
        for label in list(self.members):
            self.leave(label)
        self.connection.parts.pop(self.gathering.stream, None)
        self.gathering.remove(self)

    def frame(self) -> bytes:
        """The changes since the last frame; see `hub.connections.connection.Note`."""
        self.queued = False
        if self not in self.gathering.readers:
            return b""
        told, self.told = self.told, self.gathering.presence.view
        return self.gathering.frame(told)

    def tell(self) -> None:
        """Send the changes, at once or when the connection's turn comes."""
        if not self.queued:
            self.queued = True
            self.connection.note(self)


class _Gathering:
    """The participants of one stream, and the rounds that send them changes."""

    __slots__ = (
        "_all",
        "_frames",
        "_next",
        "_note",
        "_timer",
        "others",
        "own",
        "presence",
        "readers",
        "stream",
        "users",
    )

    def __init__(
        self, stream: str, gatherings: dict[str, _Gathering], note: Callable[[str], None]
    ) -> None:
        self.stream = stream
        self.presence = Presence()
        self.own: dict[str, bytes] = {}
        """The members of this hub, and their states."""
        self.others: dict[str, set[str]] = {}
        """Those of each other hub."""
        self.users: dict[str, str] = {}
        """For whom the members of all hubs count, if for anybody."""
        self._note = note
        self.readers: dict[Participant, None] = {}
        self._all = gatherings
        """Those of all streams that have readers."""
        self._frames: dict[int, bytes] = {}
        """Frames that lead to the present view, by the number of the previous view."""
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0
        """The earliest time of the next round."""

    def put(self, member: str, state: bytes) -> None:
        """Add a member of this hub, or change its state."""
        self.own[member] = state
        self.presence.put(member, state)
        self._note(self.stream)
        self.mark()

    def drop(self, member: str) -> None:
        """Remove a member of this hub."""
        self.own.pop(member, None)
        self._remove(member)
        self._note(self.stream)
        self.mark()

    def put_others(self, node: str, states: Mapping[str, bytes], users: Mapping[str, str]) -> None:
        """Take note of all members of another hub."""
        for member in self.others.pop(node, set()) - states.keys():
            self._remove(member)
        for member, state in states.items():
            self.presence.put(member, state)
            if member in users:
                self.users[member] = users[member]
        if states:
            self.others[node] = set(states)
        self.mark()

    def _remove(self, member: str) -> None:
        self.users.pop(member, None)
        self.presence.remove(member)

    def mark(self) -> None:
        """Schedule a round, because something has changed."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._next), self._round)

    def remove(self, reader: Participant) -> None:
        """Remove a reader, and the gathering with the last one."""
        self.readers.pop(reader, None)
        if not self.readers and self._all.get(self.stream) is self:
            del self._all[self.stream]
            self._note(self.stream)
            if self._timer is not None:
                self._timer.cancel()

    def frame(self, told: View) -> bytes:
        """The frame that updates a client's view to the present one; empty if it is already."""
        found = self._frames.get(told.number)
        if found is None:
            joined, left = self.presence.since(told)
            found = presence_frame(self.stream, joined, left) if joined or left else b""
            if len(self._frames) < SHARED:
                self._frames[told.number] = found
        return found

    def _round(self) -> None:
        self._timer = None
        apart = max(ROUND_SECONDS, len(self.readers) / ROUND_WRITES)
        self._next = asyncio.get_running_loop().time() + apart
        if self.presence.publish():
            self._frames.clear()
            for reader in list(self.readers):
                try:
                    reader.tell()
                except Exception:
                    log.exception("a participant of %s could not be updated", self.stream)
            # Slow readers come later, with different views: their frames are not worth caching.
            self._frames.clear()
