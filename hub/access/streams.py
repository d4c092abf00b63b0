"""Operations on streams: open, follow, create, append, fork, delete, list, take part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hub.access.permissions import Permission, Permissions
from hub.connections.connection import Connection
from hub.connections.participants import Participants
from hub.domain.errors import Conflict, StreamNotFound, TooLarge
from hub.domain.events import Event, encode
from hub.domain.outcome import Outcome
from hub.domain.principal import LOCAL, Principal
from hub.domain.producers import Stamp
from hub.domain.records import Position
from hub.domain.stream_settings import StreamSettings
from hub.generations.runs import Runs
from hub.stores import Listed, Store
from hub.streams.forks import same
from hub.streams.registry import Streams
from hub.streams.stream import Body, From, Stream
from hub.streams.write_permissions import WritePermissions

__all__ = ["Shown", "StreamAccess"]


class Shown(NamedTuple):
    """A stream in a list, and the generation that runs in it."""

    stream: Listed
    running: str | None


class StreamAccess:
    """The streams of a hub; ``event_bytes`` bounds an event given to `append` or `append_to`."""

    def __init__(
        self,
        streams: Streams,
        runs: Runs,
        store: Store,
        participants: Participants,
        permissions: Permissions,
        authors: WritePermissions,
        *,
        event_bytes: int,
    ) -> None:
        self._streams = streams
        self._runs = runs
        self._store = store
        self._participants = participants
        self._permissions = permissions
        self._authors = authors
        self._event_bytes = event_bytes

    @property
    def held(self) -> int:
        """How many are held in memory."""
        return len(self._streams)

    @property
    def size(self) -> int:
        """Bytes of memory that all records held take."""
        return self._streams.size

    # Opening

    async def open(self, name: str, *, by: Principal = LOCAL, to: Permission = "read") -> Stream:
        """A stream that exists, to read it or to do something else with it.

        Raises:
            InvalidName, StreamNotFound, Gone: as `hub.streams.registry.Streams.open`.
        """
        self._permissions.check(by, to, name)
        return await self._streams.open(name)

    async def expect(
        self, connection: Connection, name: str, start: From, *, by: Principal = LOCAL
    ) -> None:
        """Have a connection follow a stream that may still have to begin.

        Raises:
            InvalidName, Gone: as `open`.
        """
        try:
            stream = await self.open(name, by=by)
        except StreamNotFound:
            stream = None
        connection.stand_by(self._streams.awaited, name, start)
        if stream is not None:
            self._streams.awaited.begun(stream)

    async def create(
        self,
        name: str,
        settings: StreamSettings | None = None,
        bodies: Sequence[Body] = (),
        *,
        close: bool = False,
        by: Principal = LOCAL,
    ) -> tuple[Stream, Outcome]:
        """A stream with its first records, open or closed, begun if there is none of the name.

        One of the same settings that was there is a duplicate, whatever it holds. Without
        settings any that was there is, and a new one is a JSON stream. Raises what
        `hub.streams.registry.Streams.create` and `write` do.

        Raises:
            Conflict: ``stream_exists``: there is one of the name that is not so.
        """
        self._check_write(by, name, close=close)
        self.check_authors(settings or StreamSettings(), bodies, by=by)
        stream, new = await self._streams.create(name, settings)
        if new:
            return stream, self._first(stream, bodies, close=close)
        if settings is not None and (
            stream.settings.fork or stream.sealed != close or not same(stream.settings, settings)
        ):
            raise _exists(name)
        return stream, stream.outcome(duplicate=True)

    def _check_write(self, by: Principal, name: str, *, close: bool) -> None:
        self._permissions.check(by, "append", name)
        if close:
            self._permissions.check(by, "close", name)

    def _first(self, stream: Stream, bodies: Sequence[Body], *, close: bool) -> Outcome:
        """Write what a stream begins with, in the turn of the loop in which it was begun."""
        if not bodies and not close:
            return stream.outcome()
        outcome = stream.write(bodies, close=close)
        self._streams.touch(stream)
        return outcome

    async def fork(
        self,
        name: str,
        source: str,
        position: Position | None = None,
        *,
        settings: StreamSettings | None = None,
        further: int = 0,
        bodies: Sequence[Body] = (),
        close: bool = False,
        by: Principal = LOCAL,
    ) -> tuple[Stream, Outcome]:
        """A stream with another's past up to a position, and records of its own after it.

        This is what "edit this message" and "regenerate" are: a fork at the position of the
        message, in which the conversation goes on differently. See
        `hub.streams.registry.Streams.fork`. The same fork that was there is a duplicate.

        Raises:
            RequestError, Conflict, Forbidden: as `check_authors`.
        """
        self._permissions.check(by, "read", source)
        self._permissions.check(by, "fork", source)
        self._check_write(by, name, close=close)
        if bodies:
            self.check_authors((await self._streams.open(source)).settings, bodies, by=by)
        stream, new = await self._streams.fork(name, source, position, settings, further=further)
        if new:
            return stream, self._first(stream, bodies, close=close)
        if stream.sealed != close:
            raise _exists(name)
        return stream, stream.outcome(duplicate=True)

    async def delete(self, name: str, *, by: Principal = LOCAL) -> None:
        """Remove a stream, and cancel what is generated in it; see
        `hub.streams.registry.Streams.remove`.
        """
        stream = await self.open(name, by=by, to="delete")
        # Before anything is cancelled, for a deletion that cannot be kept.
        self._store.admit()
        await self._runs.leave(stream)
        await self._streams.remove(stream)

    async def listed(
        self, prefix: str, after: str, limit: int, *, by: Principal = LOCAL
    ) -> tuple[list[Shown], bool]:
        """A page of the streams there are, and whether more come after it.

        Names begin with ``prefix`` and lie after ``after``, in the order of their characters.
        """
        self._permissions.check(by, "list")
        found, more = await self._streams.listed(prefix, after, limit)
        running = self._runs.running()
        return [Shown(one, running.get(one.name)) for one in found], more

    async def committed(self) -> None:
        """Wait until everything written so far is as safe as the store makes it.

        Raises:
            StoreError: the store cannot say so.
        """
        await self._store.synced()

    def touch(self, stream: Stream) -> None:
        """Somebody uses the stream; see `hub.streams.registry.Streams.touch`."""
        self._streams.touch(stream)

    # Writing

    def append(self, stream: Stream, event: Event, *, by: Principal = LOCAL) -> Outcome:
        """Write somebody's event.

        Raises:
            RequestError, Conflict, Forbidden: as `check_authors`.
            Conflict: ``not_json``: the stream holds no events.
            StreamClosed: the stream takes no more records.
            TooLarge: the event is over its limit.
            StoreError: nothing can be kept just now.
        """
        body = self._body(event, by)
        stream.expect_events()
        return self.write(stream, [(body, event)], by=by)

    async def append_to(
        self, name: str, event: Event, body: bytes | None = None, *, by: Principal = LOCAL
    ) -> tuple[Stream, Outcome]:
        """Write somebody's event into the stream of a name, begun if there is none.

        ``body`` is the event as somebody wrote it, one JSON object in one line. Raises what
        `create` and `append` do; a stream is only begun for an event that can be written.
        """
        body = self._body(event, by, body)
        stream, _ = await self.create(name, by=by)
        stream.expect_events()
        return stream, self.write(stream, [(body, event)], by=by)

    def _body(self, event: Event, by: Principal, body: bytes | None = None) -> bytes:
        self.check_authors(StreamSettings(), [(b"", event)], by=by)
        body = encode(event) if body is None else body
        if len(body) > self._event_bytes:
            most = self._event_bytes
            raise TooLarge(f"an event has at most {most} bytes (limits.event_bytes)")
        return body

    def check_authors(
        self, settings: StreamSettings, bodies: Iterable[Body], *, by: Principal = LOCAL
    ) -> None:
        """Refuse what only the hub may write; see
        `hub.streams.write_permissions.WritePermissions.check`.
        """
        del by  # whoever it is, for now
        self._authors.check(settings, bodies)

    def write(
        self,
        stream: Stream,
        bodies: Sequence[Body],
        *,
        stamp: Stamp | None = None,
        sequence: str | None = None,
        close: bool = False,
        by: Principal = LOCAL,
    ) -> Outcome:
        """Write somebody's records, all or nothing; see `hub.streams.stream.Stream.write`.

        Raises:
            RequestError, Conflict, Forbidden: as `check_authors`.
            HubError: as `hub.streams.stream.Stream.write`.
        """
        if bodies:
            self._permissions.check(by, "append", stream.name)
        if close:
            self._permissions.check(by, "close", stream.name)
        self.check_authors(stream.settings, bodies, by=by)
        outcome = stream.write(bodies, stamp=stamp, sequence=sequence, close=close)
        self._streams.touch(stream)
        return outcome

    # Taking part

    @property
    def state_bytes(self) -> int:
        """The most that a participant may say of itself, in bytes of JSON."""
        return self._participants.state_bytes

    def enter(
        self, connection: Connection, name: str, label: str, state: bytes, *, by: Principal = LOCAL
    ) -> str:
        """Have a connection take part in a stream; see
        `hub.connections.participants.Participants.enter`.
        """
        self._permissions.check(by, "presence", name)
        return self._participants.enter(connection, name, label, state)

    def leave(
        self, connection: Connection, name: str, label: str, *, by: Principal = LOCAL
    ) -> None:
        """Have a connection take part no longer under a label; nothing if it did not."""
        self._permissions.check(by, "presence", name)
        self._participants.leave(connection, name, label)


def _exists(name: str) -> Conflict:
    return Conflict(f'there is a stream called "{name}" that is not so', code="stream_exists")
