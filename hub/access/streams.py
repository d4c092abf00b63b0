"""Operations on streams: open, follow, create, append, fork, delete, list, join."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple, overload

from hub.access.authorship import authored
from hub.access.guard import Allowed, Guard
from hub.access.hooks import Hooks
from hub.access.permissions import Permission, Permissions
from hub.access.revocations import Revocations
from hub.access.visible_streams import VisibleStreams
from hub.connections.connection import Connection
from hub.connections.participants import Participants
from hub.domain.errors import CommandError, Gone, StreamNotFound, TooLarge
from hub.domain.events import Event, encode
from hub.domain.outcome import Outcome
from hub.domain.permissions import StreamPattern
from hub.domain.principal import LOCAL, Principal
from hub.domain.producers import Stamp
from hub.domain.records import Body, Position
from hub.domain.stream_settings import StreamSettings
from hub.generations.operations import GenerationOperations
from hub.stores import Listed
from hub.stores.writer import Writer
from hub.streams.followed import FollowedStream
from hub.streams.frozen import FrozenStream, FrozenStreams
from hub.streams.history import From
from hub.streams.opened import OpenedStream, StreamRegistry
from hub.streams.stream import Stream
from hub.streams.write_permissions import WritePermissions

__all__ = ["Shown", "StreamAccess"]

PAGE: Final = 500
"""Streams that are looked at, to change their owner, in one go."""


class Shown(NamedTuple):
    """A stream in a list, and the id of the generation that is running in it."""

    stream: Listed
    running: str | None


class StreamAccess:
    """The streams of a hub; events given to `append` have at most ``event_bytes``."""

    def __init__(
        self,
        streams: StreamRegistry,
        writer: Writer,
        runs: GenerationOperations,
        participants: Participants,
        permissions: Permissions,
        revocations: Revocations,
        authors: WritePermissions,
        *,
        event_bytes: int,
        hooks: Hooks | None = None,
    ) -> None:
        self._guard = Guard(streams, permissions, revocations, hooks)
        self._frozen = FrozenStreams()
        self._visible = VisibleStreams(streams, permissions)
        self._streams = streams
        self._writer = writer
        self._runs = runs
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

    @overload
    async def open(self, name: str) -> Stream: ...  # of a store of this process
    @overload
    async def open(self, name: str, *, by: Principal) -> FollowedStream: ...
    async def open(self, name: str, *, by: Principal = LOCAL) -> FollowedStream:
        """An existing stream, to read it; of a share link, what it shows of it.

        Raises:
            InvalidName, StreamNotFound, Gone: as `hub.streams.registry.Streams.open`.
            Gone: ``position_trimmed``: what the link shows is no longer kept.
        """
        stream = await self.open_to("read", name, by=by)
        if by.shared is None or by.shared.until is None:
            return stream
        return self._frozen.get(stream, by.shared.until)

    async def open_to(
        self, permission: Permission, name: str, *, by: Principal = LOCAL
    ) -> OpenedStream:
        """An existing stream, with the permission to do something with it.

        Raises:
            InvalidName, StreamNotFound, Gone: as `hub.streams.registry.Streams.open`.
        """
        allowed = await self._guard.check(by, (permission,), name)
        return await self._guard.opened(allowed, name)

    async def check_wait(self, name: str, *, by: Principal = LOCAL) -> None:
        """Check that a principal may wait for a stream that `open` has not found for it.

        It may also wait for a chat that it could begin: it follows it only if it may read it then.
        A share link shows a stream that exists, and no other.

        Raises:
            Unauthorized, StreamNotFound: as `hub.access.permissions.Permissions.check`.
            HubError: as `hub.access.hooks.Hooks.subscribe`.
        """
        self._check_wait(name, by)
        if not self._permissions.allows(by, "read", name):
            # About whoever may read it `open` has asked already.
            await self._guard.ask(by, name)

    def _check_wait(self, name: str, by: Principal) -> None:
        if by.shared is not None:
            raise StreamNotFound.named(name)
        if not self._permissions.may_begin(by, name):
            self._permissions.check(by, "read", name)

    def reads(self, stream: FollowedStream, *, by: Principal) -> bool:
        """Whether a principal may read a stream, or this much of it."""
        if not self._permissions.allows(by, "read", stream.name, stream.settings.owner):
            return False
        if (shared := by.shared) is None:
            return True
        frozen = isinstance(stream, FrozenStream)
        if shared.until is not None and not (frozen and stream.tail <= shared.until.offset):
            return False
        return self._streams.is_same(stream, shared.epoch)

    async def expect(
        self, connection: Connection, name: str, start: From, *, by: Principal = LOCAL
    ) -> None:
        """Make a connection follow a stream that may not exist yet, after `check_wait`.

        Raises:
            InvalidName, Gone: as `open`.
            Unauthorized, StreamNotFound: as `check_wait`.
        """
        try:
            stream = await self.open(name, by=by)
        except StreamNotFound:
            self._check_wait(name, by)
            stream = None
        connection.subscribe_when_begun(self._streams.awaited, name, start, self._may_follow)
        if stream is not None:
            self._streams.awaited.begun(stream)
        else:
            self._streams.expect(name)

    def _may_follow(self, connection: Connection, stream: FollowedStream) -> bool:
        return self.reads(stream, by=connection.by)

    async def create(
        self, name: str, settings: StreamSettings | None = None, *, by: Principal = LOCAL
    ) -> tuple[Stream, bool]:
        """The stream of a name, and whether it is new; by default a JSON stream.

        An existing stream is returned whatever its settings; see
        `hub.streams.opened.StreamRegistry.create`. It can be written to itself, which only a
        stream of this process can: where several hubs write, use `make` or `append_to`.

        Raises:
            CommandError: ``not_supported``: several hubs write this stream.
        """

        async def create(allowed: Allowed) -> tuple[Stream, bool]:
            if allowed.stream is not None:
                return _local(allowed.stream), False
            owned = _owned(settings, by)
            stream, new = await self._streams.create(name, owned, epoch=allowed.epoch)
            return _local(stream), new

        return await self._guard.perform(by, ("append",), name, create)

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

        async def make(allowed: Allowed) -> Outcome:
            written = self.check_authors(settings, bodies, name, by=by)
            owned = _owned(settings, by)
            return await self._writer.create(name, owned, written, close=close, epoch=allowed.epoch)

        return await self._guard.perform(by, _writes(close=close), name, make)

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

        async def fork(of: Allowed, into: Allowed) -> Outcome:
            wanted, written = settings or StreamSettings(content_type=""), bodies
            if bodies:
                # The writer refuses if the source has another type by then.
                wanted = wanted.of_type_of((await self._streams.open(source)).settings)
                written = self.check_authors(wanted, bodies, name, by=by)
            return await self._writer.fork(
                name,
                source,
                position,
                _owned(wanted, by),
                further=further,
                bodies=written,
                close=close,
                epoch=into.epoch,
                source_epoch=of.epoch,
            )

        async def fork_of(of: Allowed) -> Outcome:
            needs = _writes(close=close)
            return await self._guard.perform(by, needs, name, partial(fork, of))

        return await self._guard.perform(by, ("read", "fork"), source, fork_of)

    async def delete(self, name: str, *, by: Principal = LOCAL) -> None:
        """Delete a stream and cancel its generations; see `hub.stores.writer.Writer.delete`."""
        stream = await self.open_to("delete", name, by=by)
        # If the store cannot save the deletion, fail before anything is cancelled.
        self._streams.admit()
        await self._runs.leave(name)
        # The epoch, because a new stream may have the name by now.
        await self._writer.delete(name, epoch=stream.epoch)

    async def listed(
        self, prefix: str, after: str, limit: int, *, by: Principal = LOCAL
    ) -> tuple[list[Shown], str | None]:
        """A page of streams in the order of their names, and ``after`` of the next page, if any.

        The names start with ``prefix`` and come after ``after``. Only streams that the principal
        may ``list`` are among them, at times fewer than ``limit`` although more follow.

        Raises:
            Unauthorized, Forbidden: as `hub.access.permissions.Permissions.check`.
            RequestError: as `hub.access.visible_streams.VisibleStreams.page`.
        """
        self._permissions.check(by, "list")
        if by.scope is None:
            found, more = await self._streams.listed(prefix, after, limit)
            following = found[-1].name if more else None
        else:
            found, following = await self._visible.page(by, prefix, after, limit)
        running = self._runs.running()
        return [Shown(one, running.get(one.name, one.running)) for one in found], following

    async def change_owner(
        self, which: str | StreamPattern, owner: str | None, after: str = "", limit: int = PAGE
    ) -> tuple[list[str], str | None]:
        """Give streams to a subject (`Principal.subject`), or to nobody, a page at a time.

        ``which`` is a stream's name, or a pattern for the streams whose names come after
        ``after``, of which ``limit`` are looked at. Returns the streams that changed hands, and
        ``after`` of the next page, if there is one. Open connections are not checked; see
        `hub.hub.Hub.change_owner`.

        Raises:
            InvalidName, StreamNotFound, Gone: as `open`.
            StoreError: the store cannot save it.
        """
        self._streams.admit()
        following = None
        if isinstance(which, str):
            stream = await self._streams.open(which)
            names = [which] if stream.settings.owner != owner else []
        else:
            found, more = await self._streams.listed(which.beginning, after, limit)
            names = [one.name for one in found if one.owner != owner and which.matches(one.name)]
            following = found[-1].name if more else None
        await self._streams.set_owner(names, owner)
        return names, following

    async def committed(self, stream: str | None = None) -> None:
        """Wait until the store has committed everything written so far.

        Raises:
            StoreError: the store failed to, at all or for this stream.
        """
        await self._streams.committed(stream)

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
        self._streams.written(stream.name)
        return outcome

    async def append_to(
        self, name: str, event: Event, body: bytes | None = None, *, by: Principal = LOCAL
    ) -> Outcome:
        """Write a client's event into a stream, which is created if it does not exist.

        ``body`` is the event as the client wrote it, a JSON object in one line. Raises what
        `create` and `append` do. A stream is only created if the event can be written.
        """

        async def append(allowed: Allowed) -> Outcome:
            written = self._body(event, name, by, body)
            settings = _owned(StreamSettings(), by)
            return await self._writer.write(name, [written], settings=settings, epoch=allowed.epoch)

        return await self._guard.perform(by, ("append",), name, append)

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
        self, stream: OpenedStream, stamp: Stamp | None, *, only_close: bool, by: Principal = LOCAL
    ) -> Outcome | None:
        """The outcome of a write that does not depend on its body; see
        `hub.streams.opened.OpenedStream.judge`.
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

        async def write(allowed: Allowed) -> Outcome:
            stream = await self._guard.opened(allowed, name)
            return await self._writer.write(
                name,
                self.check_authors(stream.settings, bodies, name, by=by),
                stamp=_scoped(stamp, by),
                sequence=sequence,
                close=close,
                epoch=stream.epoch if epoch is None else epoch,
            )

        return await self._guard.perform(by, needs, name, write)

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
        owner = _owner_of(connection, name)
        self._permissions.check(by, "presence", name, owner)
        own = by.scope is None or (by.subject is not None and by.subject == owner)
        user = None if own else by.counted_as or by.scope
        return self._participants.enter(connection, name, label, state, user)

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
            if not self.reads(one.stream, by=by)
        ]
        refused += [
            name
            for name in connection.pending
            if by.shared is not None
            or (not allows(by, "read", name) and not self._permissions.may_begin(by, name))
        ]
        for name in refused:
            connection.unsubscribe(name)
        return refused


def _local(stream: OpenedStream) -> Stream:
    """A stream whose object can be written to."""
    if not isinstance(stream, Stream):
        said = "several hubs write this stream: write to it by its name, as with append_to"
        raise CommandError(said, code="not_supported")
    return stream


def _writes(*, close: bool) -> tuple[Permission, ...]:
    return ("append", "close") if close else ("append",)


def _owned(settings: StreamSettings | None, by: Principal) -> StreamSettings:
    """The settings of a stream that a principal begins."""
    settings = StreamSettings() if settings is None else settings
    if by.subject is None:
        return settings
    return replace(settings, owner=by.subject, creator=by.subject)


def _scoped(stamp: Stamp | None, by: Principal) -> Stamp | None:
    """A producer's stamp: two principals that call a producer the same have two producers."""
    if stamp is None or by.scope is None:
        return stamp
    return stamp._replace(producer=f"{by.scope}\n{stamp.producer}")


def _owner_of(connection: Connection, name: str) -> str | None:
    """The owner of a stream that a connection follows."""
    one = connection.subscriptions.get(name)
    return None if one is None else one.stream.settings.owner
