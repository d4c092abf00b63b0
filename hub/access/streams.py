"""Operations on streams: open, follow, create, append, fork, delete, list, join."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, NamedTuple

from hub.access.authorship import authored
from hub.access.guard import Guard, epoch_of
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
from hub.streams.followed import FollowedStream
from hub.streams.history import From
from hub.streams.registry import Streams
from hub.streams.stream import Stream
from hub.streams.write_permissions import WritePermissions

__all__ = ["Shown", "StreamAccess"]

PAGE: Final = 1000
"""Streams that are read at a time to find those that a principal may list."""


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
        self._guard = Guard(streams, permissions)
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
        allowed = await self._guard.check(by, (to,), name)
        return await self._streams.open(name) if allowed is None else allowed

    def check_wait(self, name: str, *, by: Principal = LOCAL) -> None:
        """Check that a principal may wait for a stream that does not exist, or not for it.

        It may also wait for a chat that it could begin: it follows it only if it may read it then.

        Raises:
            Unauthorized, StreamNotFound: as `hub.access.permissions.Permissions.check`.
        """
        if not self._permissions.may_begin(by, name):
            self._permissions.check(by, "read", name)

    def reads(self, stream: FollowedStream, *, by: Principal) -> bool:
        """Whether a principal may read a stream."""
        return self._permissions.allows(by, "read", stream.name, stream.settings.owner)

    async def expect(
        self, connection: Connection, name: str, start: From, *, by: Principal = LOCAL
    ) -> None:
        """Make a connection follow a stream that may not exist yet.

        Raises:
            InvalidName, Gone: as `open`.
            Unauthorized, StreamNotFound: as `check_wait`.
        """
        try:
            stream = await self.open(name, by=by)
        except StreamNotFound:
            self.check_wait(name, by=by)
            stream = None
        connection.subscribe_when_begun(self._streams.awaited, name, start, self._may_follow)
        if stream is not None:
            self._streams.awaited.begun(stream)

    def _may_follow(self, connection: Connection, stream: FollowedStream) -> bool:
        return self.reads(stream, by=connection.by)

    async def create(
        self, name: str, settings: StreamSettings | None = None, *, by: Principal = LOCAL
    ) -> tuple[Stream, bool]:
        """The stream of a name, and whether it is new; by default a JSON stream.

        An existing stream is returned whatever its settings; see
        `hub.streams.registry.Streams.create`.
        """
        allowed = await self._guard.check(by, ("append",), name)
        if allowed is not None:
            return allowed, False
        return await self._streams.create(name, _owned(settings, by))

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
        allowed = await self._guard.check(by, _writes(close=close), name)
        bodies = self.check_authors(settings, bodies, name, by=by)
        return await self._writer.create(
            name, _owned(settings, by), bodies, close=close, epoch=epoch_of(allowed)
        )

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
        of = await self._guard.check(by, ("read", "fork"), source)
        source_epoch = epoch_of(of)
        into = await self._guard.check(by, _writes(close=close), name)
        if bodies:
            # The writer refuses if the source has another type by then.
            of_source = (await self._streams.open(source)).settings
            settings = (settings or StreamSettings(content_type="")).of_type_of(of_source)
            bodies = self.check_authors(settings, bodies, name, by=by)
        return await self._writer.fork(
            name,
            source,
            position,
            _owned(settings or StreamSettings(content_type=""), by),
            further=further,
            bodies=bodies,
            close=close,
            epoch=epoch_of(into),
            source_epoch=source_epoch,
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

        The names start with ``prefix`` and come after ``after``. Only streams that the principal
        may ``list`` are among them.
        """
        self._permissions.check(by, "list")
        found, more = await self._streams.listed(prefix, after, limit)
        if by.scope is not None:
            shown = self._listable(found, by)
            while more and len(shown) < limit:
                found, more = await self._streams.listed(prefix, found[-1].name, PAGE)
                shown += self._listable(found, by)
            found, more = shown[:limit], more or len(shown) > limit
        running = self._runs.running()
        return [Shown(one, running.get(one.name)) for one in found], more

    def _listable(self, found: Iterable[Listed], by: Principal) -> list[Listed]:
        allows = self._permissions.allows
        return [one for one in found if allows(by, "list", one.name, one.owner)]

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
        written = self._body(event, stream.name, by)
        stream.expect_events()
        self._permissions.check(by, "append", stream.name, stream.settings.owner)
        outcome = stream.write([written])
        self._streams.touch(stream)
        return outcome

    async def append_to(
        self, name: str, event: Event, body: bytes | None = None, *, by: Principal = LOCAL
    ) -> Outcome:
        """Write a client's event into a stream, which is created if it does not exist.

        ``body`` is the event as the client wrote it, a JSON object in one line. Raises what
        `create` and `append` do. A stream is only created if the event can be written.
        """
        allowed = await self._guard.check(by, ("append",), name)
        written = self._body(event, name, by, body)
        settings = _owned(StreamSettings(), by)
        return await self._writer.write(name, [written], settings=settings, epoch=epoch_of(allowed))

    def _body(self, event: Event, name: str, by: Principal, body: bytes | None = None) -> Body:
        body = encode(event) if body is None else body
        (written,) = self.check_authors(StreamSettings(), [(body, event)], name, by=by)
        if len(written[0]) > self._event_bytes:
            raise TooLarge(f"an event has at most {self._event_bytes} bytes (limits.event_bytes)")
        return written

    def check_authors(
        self, settings: StreamSettings, bodies: Sequence[Body], name: str, *, by: Principal = LOCAL
    ) -> Sequence[Body]:
        """The records as the principal may write them in a stream of this name.

        Refuses what only the hub may write (`hub.streams.write_permissions.WritePermissions.check`)
        and what is said in another's name (`hub.access.authorship.authored`).
        """
        self._authors.check(settings, bodies)
        return authored(settings, bodies, by, name)

    def judge(
        self, stream: Stream, stamp: Stamp | None, *, only_close: bool, by: Principal = LOCAL
    ) -> Outcome | None:
        """The outcome of a write that does not depend on its body; see
        `hub.streams.stream.Stream.judge`.
        """
        return stream.judge(_scoped(stamp, by), only_close=only_close)

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
        needs: list[Permission] = ["append"] if bodies else []
        if close:
            needs.append("close")
        allowed = await self._guard.check(by, needs, name)
        stream = await self._streams.open(name) if allowed is None else allowed
        bodies = self.check_authors(stream.settings, bodies, name, by=by)
        return await self._writer.write(
            name,
            bodies,
            stamp=_scoped(stamp, by),
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
        self._permissions.check(by, "presence", name, _owner_of(connection, name))
        return self._participants.enter(connection, name, label, state)

    def leave(
        self, connection: Connection, name: str, label: str, *, by: Principal = LOCAL
    ) -> None:
        """Remove the member with a label and this connection, if there is one."""
        self._permissions.check(by, "presence", name, _owner_of(connection, name))
        self._participants.leave(connection, name, label)

    def check_subscriptions(self, connection: Connection) -> list[str]:
        """End what a connection's principal may no longer do, and return the streams it may not
        follow any more.

        Called when it has presented another credential.
        """
        by, allows = connection.by, self._permissions.allows
        for name, part in list(connection.parts.items()):
            if not allows(by, "presence", name, _owner_of(connection, name)):
                part.end()
        refused = [
            name
            for name, one in connection.subscriptions.items()
            if not allows(by, "read", name, one.stream.settings.owner)
        ]
        refused += [
            name
            for name in connection.pending
            if not allows(by, "read", name) and not self._permissions.may_begin(by, name)
        ]
        for name in refused:
            connection.unsubscribe(name)
        return refused


def _writes(*, close: bool) -> tuple[Permission, ...]:
    return ("append", "close") if close else ("append",)


def _owned(settings: StreamSettings | None, by: Principal) -> StreamSettings:
    """The settings of a stream that a principal begins."""
    settings = StreamSettings() if settings is None else settings
    return settings if by.subject is None else replace(settings, owner=by.subject)


def _scoped(stamp: Stamp | None, by: Principal) -> Stamp | None:
    """A producer's stamp: two principals that call a producer the same have two producers."""
    if stamp is None or by.scope is None:
        return stamp
    return stamp._replace(producer=f"{by.scope}\n{stamp.producer}")


def _owner_of(connection: Connection, name: str) -> str | None:
    """The owner of a stream that a connection follows."""
    one = connection.subscriptions.get(name)
    return None if one is None else one.stream.settings.owner
