"""Operations on streams: open, follow, create, append, fork, delete, list, join."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from hub.access.permissions import Permission, Permissions
from hub.connections.connection import Connection
from hub.connections.participants import Participants
from hub.domain.errors import Gone, StreamNotFound, TooLarge
from hub.domain.events import Event, encode
from hub.domain.outcome import Outcome
from hub.domain.principal import LOCAL, Principal
from hub.domain.producers import Stamp
from hub.domain.records import Body, Position
from hub.domain.stream_settings import StreamSettings
from hub.generations.runs import Runs
from hub.stores import Listed, Store
from hub.stores.writer import Writer
from hub.streams.history import From
from hub.streams.registry import Streams
from hub.streams.stream import Stream
from hub.streams.write_permissions import WritePermissions

__all__ = ["Shown", "StreamAccess"]


class Shown(NamedTuple):
    """A stream in a list, and the id of the generation that is running in it."""

    stream: Listed
    running: str | None


class StreamAccess:
    """The streams of a hub; events given to `append` have at most ``event_bytes``."""

    def __init__(
        self,
        streams: Streams,
        writer: Writer,
        runs: Runs,
        store: Store,
        participants: Participants,
        permissions: Permissions,
        authors: WritePermissions,
        *,
        event_bytes: int,
    ) -> None:
        self._streams = streams
        self._writer = writer
        self._runs = runs
        self._store = store
        self._participants = participants
        self._permissions = permissions
        self._authors = authors
        self._event_bytes = event_bytes

    @property
    def held(self) -> int:
        """The number of streams in memory."""
        return len(self._streams)

    @property
    def size(self) -> int:
        """Bytes of memory of all records that are held."""
        return self._streams.size

    # Opening

    async def open(self, name: str, *, by: Principal = LOCAL, to: Permission = "read") -> Stream:
        """An existing stream, with the permission ``to`` do something with it.

        Raises:
            InvalidName, StreamNotFound, Gone: as `hub.streams.registry.Streams.open`.
        """
        self._permissions.check(by, to, name)
        return await self._streams.open(name)

    async def expect(
        self, connection: Connection, name: str, start: From, *, by: Principal = LOCAL
    ) -> None:
        """Make a connection follow a stream that may not exist yet.

        Raises:
            InvalidName, Gone: as `open`.
        """
        try:
            stream = await self.open(name, by=by)
        except StreamNotFound:
            stream = None
        connection.subscribe_when_begun(self._streams.awaited, name, start)
        if stream is not None:
            self._streams.awaited.begun(stream)

    async def create(
        self, name: str, settings: StreamSettings | None = None, *, by: Principal = LOCAL
    ) -> tuple[Stream, bool]:
        """The stream of a name, and whether it is new; by default a JSON stream.

        An existing stream is returned whatever its settings; see
        `hub.streams.registry.Streams.create`.
        """
        self._permissions.check(by, "append", name)
        return await self._streams.create(name, settings)

    async def make(
        self,
        name: str,
        settings: StreamSettings,
        bodies: Sequence[Body] = (),
        *,
        close: bool = False,
        by: Principal = LOCAL,
    ) -> Outcome:
        """Create a stream with its first records; see `hub.stores.writer.Writer.create`.

        Raises:
            RequestError, Conflict, Forbidden: as `check_authors`.
        """
        self._check_write(by, name, close=close)
        self.check_authors(settings, bodies, by=by)
        return await self._writer.create(name, settings, bodies, close=close)

    def _check_write(self, by: Principal, name: str, *, close: bool) -> None:
        self._permissions.check(by, "append", name)
        if close:
            self._permissions.check(by, "close", name)

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
    ) -> Outcome:
        """Create a stream with another's records up to a position, and records of its own.

        "Edit this message" and "regenerate" are forks at the position of the message, in which the
        conversation continues differently. See `hub.stores.writer.Writer.fork`.

        Raises:
            RequestError, Conflict, Forbidden: as `check_authors`.
        """
        self._permissions.check(by, "read", source)
        self._permissions.check(by, "fork", source)
        self._check_write(by, name, close=close)
        if bodies:
            # The writer refuses if the source has another type by then.
            of_source = (await self._streams.open(source)).settings
            settings = (settings or StreamSettings(content_type="")).of_type_of(of_source)
            self.check_authors(settings, bodies, by=by)
        return await self._writer.fork(
            name, source, position, settings, further=further, bodies=bodies, close=close
        )

    async def delete(self, name: str, *, by: Principal = LOCAL) -> None:
        """Delete a stream and cancel its generations; see `hub.stores.writer.Writer.delete`."""
        stream = await self.open(name, by=by, to="delete")
        # If the store cannot save the deletion, fail before anything is cancelled.
        self._store.admit()
        await self._runs.leave(stream)
        # The epoch, because a new stream may have the name by now.
        await self._writer.delete(name, epoch=stream.epoch)

    async def listed(
        self, prefix: str, after: str, limit: int, *, by: Principal = LOCAL
    ) -> tuple[list[Shown], bool]:
        """A page of streams in the order of their names, and whether more follow.

        The names start with ``prefix`` and come after ``after``.
        """
        self._permissions.check(by, "list")
        found, more = await self._streams.listed(prefix, after, limit)
        running = self._runs.running()
        return [Shown(one, running.get(one.name)) for one in found], more

    async def committed(self, stream: str | None = None) -> None:
        """Wait until the store has committed everything written so far.

        Raises:
            StoreError: the store failed to, at all or for this stream.
        """
        await self._store.synced(stream)

    async def touch(self, name: str) -> None:
        """Record that a stream was read; see `hub.stores.writer.Writer.touch`."""
        with suppress(StreamNotFound, Gone):  # deleted in the meantime
            await self._writer.touch(name)

    # Writing

    def append(self, stream: Stream, event: Event, *, by: Principal = LOCAL) -> Outcome:
        """Write a client's event.

        Raises:
            RequestError, Conflict, Forbidden: as `check_authors`.
            Conflict: ``not_json``: the stream does not hold events.
            StreamClosed: the stream is closed.
            TooLarge: the event is over its limit.
            StoreError: the store cannot save anything now.
        """
        body = self._body(event, by)
        stream.expect_events()
        self._permissions.check(by, "append", stream.name)
        outcome = stream.write([(body, event)])
        self._streams.touch(stream)
        return outcome

    async def append_to(
        self, name: str, event: Event, body: bytes | None = None, *, by: Principal = LOCAL
    ) -> Outcome:
        """Write a client's event into a stream, which is created if it does not exist.

        ``body`` is the event as the client wrote it, a JSON object in one line. Raises what
        `create` and `append` do. A stream is only created if the event can be written.
        """
        self._permissions.check(by, "append", name)
        body = self._body(event, by, body)
        return await self._writer.write(name, [(body, event)], settings=StreamSettings())

    def _body(self, event: Event, by: Principal, body: bytes | None = None) -> bytes:
        self.check_authors(StreamSettings(), [(b"", event)], by=by)
        body = encode(event) if body is None else body
        if len(body) > self._event_bytes:
            raise TooLarge(f"an event has at most {self._event_bytes} bytes (limits.event_bytes)")
        return body

    def check_authors(
        self, settings: StreamSettings, bodies: Iterable[Body], *, by: Principal = LOCAL
    ) -> None:
        """Refuse what only the hub may write, by the rules of
        `hub.streams.write_permissions.WritePermissions.check`.
        """
        del by  # the rules are the same for everybody
        self._authors.check(settings, bodies)

    async def write(
        self,
        name: str,
        bodies: Sequence[Body],
        *,
        stamp: Stamp | None = None,
        sequence: str | None = None,
        close: bool = False,
        epoch: int | None = None,
        by: Principal = LOCAL,
    ) -> Outcome:
        """Write a client's records, all or nothing; see `hub.stores.writer.Writer.write`.

        ``epoch`` is the epoch of the stream that the records were made for, from `open`.

        Raises:
            RequestError, Conflict, Forbidden: as `check_authors`.
        """
        if bodies:
            self._permissions.check(by, "append", name)
        if close:
            self._permissions.check(by, "close", name)
        stream = await self._streams.open(name)
        self.check_authors(stream.settings, bodies, by=by)
        return await self._writer.write(
            name,
            bodies,
            stamp=stamp,
            sequence=sequence,
            close=close,
            epoch=stream.epoch if epoch is None else epoch,
        )

    # Presence

    @property
    def state_bytes(self) -> int:
        """The most bytes of JSON that the state of a member may have."""
        return self._participants.state_bytes

    def enter(
        self, connection: Connection, name: str, label: str, state: bytes, *, by: Principal = LOCAL
    ) -> str:
        """Add a connection to the members of a stream; see
        `hub.connections.participants.Participants.enter`.
        """
        self._permissions.check(by, "presence", name)
        return self._participants.enter(connection, name, label, state)

    def leave(
        self, connection: Connection, name: str, label: str, *, by: Principal = LOCAL
    ) -> None:
        """Remove the member with a label and this connection, if there is one."""
        self._permissions.check(by, "presence", name)
        self._participants.leave(connection, name, label)
