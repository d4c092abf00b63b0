"""Connections: how frames are written to a client, and what happens if it is slow.

A connection is *clear* while nothing waits to be written: its outbox is empty and its transport
has not paused writing. A frame for a clear connection is written at once, with one
`transport.write`. Otherwise the subscription is put into the **outbox**, a bounded
`asyncio.Queue` that holds it at most once: a place waits there, not a copy, so a slow connection
holds no records. When the socket has drained, the connection's writer takes the subscription out
and sends the records between its place and the tail, with consecutive deltas merged, in frames
of bounded size. Clients that join late, come back or fall behind all catch up in this way, and
are written to directly again once they are at the tail.

Only the writer ever waits for the socket to drain: aiohttp shares one waiter among all waiting
tasks, and a cancelled wait would poison it for the others. The writer lives only while the outbox
holds something; an idle connection has neither queue nor task.

A connection that takes nothing for ``slow_client_timeout`` is cut off by a TCP reset: a close frame
would wait behind the bytes that the client does not take, and so would a FIN, in the kernel.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from hub.connections.participants import Participant
from hub.connections.pending_subscription import PendingSubscription
from hub.connections.stall import StallDetector
from hub.connections.subscription import Subscription
from hub.domain import defaults
from hub.domain.counters import Counters
from hub.domain.errors import Conflict, LimitExceeded, StoreError, StreamNotFound
from hub.domain.principal import LOCAL, Principal
from hub.frames.chunked import Chunked, for_text
from hub.frames.encoder import Encoder
from hub.frames.messages import error_message
from hub.frames.websocket import close_frame
from hub.http.client_socket import ClientSocket, close_by_reset, give_up
from hub.http.errors import CloseCode
from hub.streams.followed import FollowedStream
from hub.streams.history import From, Place
from hub.streams.waiters import StreamWaiters

__all__ = ["ClientSocket", "Connection", "Note", "Pace"]

log = logging.getLogger("hub.connection")

REPLIES: Final = 16
"""Frames that belong to no stream, such as replies, that may wait in an outbox."""

GIVEN_UP: Final = REPLIES + 2
"""Extra slots in an outbox: for subscriptions that ended while they waited, each before the reply
to its ``unsubscribe``, and for a farewell."""


class Note(Protocol):
    """A message that belongs to no place in a stream, built when its turn comes."""

    def frame(self) -> bytes:
        """The bytes to write; empty if there is nothing to say any more."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Limits of a connection.

    A catch-up frame has about ``catch_up_bytes``, and the transport buffers ``write_buffer_bytes``
    before it pauses writing. There is a beat every ``beat_seconds``. A connection without
    progress for ``slow_client_timeout`` seconds is cut off. It may have ``subscriptions``.
    """

    catch_up_bytes: int = defaults.CATCH_UP_BYTES
    beat_seconds: float = defaults.BEAT
    slow_client_timeout: float = defaults.SLOW_CLIENT
    subscriptions: int = defaults.SUBSCRIPTIONS
    write_buffer_bytes: int = defaults.WRITE_BUFFER_BYTES


@dataclass(frozen=True, slots=True)
class _Lost:
    """The errors of streams that a client followed and may not read any more."""

    names: tuple[str, ...]
    encoder: Encoder

    def frame(self) -> bytes:
        errors = [error_message(StreamNotFound.named(one), stream=one) for one in self.names]
        return b"".join(self.encoder.control(error) or b"" for error in errors)


class Connection:
    """The sending side of one WebSocket or one streaming HTTP response.

    ``wire`` is aiohttp's protocol object, ``drain`` waits until its buffer is low again, and
    ``encoder`` encodes events and beats. With ``over`` the connection ends with its last
    subscription, also one to a stream that it waits for, and then resolves that future. ``by`` is
    the principal that opened it.
    """

    __slots__ = (
        "_drain",
        "_outbox",
        "_over",
        "_pace",
        "_progress",
        "_replies",
        "_writer",
        "_written",
        "beat_at",
        "busy",
        "by",
        "complete",
        "counts",
        "encoder",
        "ended",
        "expired",
        "last_closed",
        "opening",
        "parts",
        "pending",
        "subscriptions",
        "wire",
    )

    def __init__(
        self,
        wire: ClientSocket,
        drain: Callable[[], Awaitable[None]],
        encoder: Encoder,
        pace: Pace,
        counts: Counters,
        *,
        over: asyncio.Future[None] | None = None,
        by: Principal = LOCAL,
    ) -> None:
        self.wire = wire
        self.encoder = encoder
        self.counts = counts
        self.subscriptions: dict[str, Subscription] = {}
        self.pending: dict[str, PendingSubscription] = {}
        """Subscriptions to streams that do not exist yet."""
        self.parts: dict[str, Participant] = {}
        """Its participation in streams, by name."""
        self.busy = False
        """Whether the outbox holds something, or the writer is running."""
        self.opening = False
        """Whether more streams are about to be followed: the end of those here is not the end."""
        self.ended = False
        """Whether nothing more is written."""
        self.complete = False
        """Whether all of the response has been written."""
        self.expired = False
        """Whether it has ended because the credential of its principal did, or was revoked."""
        self.last_closed: FollowedStream | None = None
        """The last stream whose end was written."""
        self._over = over
        self.by = by
        """Who opened it, or has presented another credential since."""
        self.beat_at = asyncio.get_running_loop().time() + pace.beat_seconds
        self._drain = drain
        self._pace = pace
        self._outbox: asyncio.Queue[Subscription | Note | bytes] | None = None
        self._replies: asyncio.Semaphore | None = None
        self._writer: asyncio.Task[None] | None = None
        self._written = 0
        self._progress: StallDetector | None = None
        if wire.transport is not None:
            wire.transport.set_write_buffer_limits(high=pace.write_buffer_bytes)

    @property
    def outbox_size(self) -> int:
        """How many items wait in the outbox."""
        return 0 if self._outbox is None else self._outbox.qsize()

    # Subscriptions

    def admit(self, name: str) -> None:
        """Check that another stream may be followed.

        Raises:
            Conflict: the connection follows it already, or waits for it.
            LimitExceeded: the connection follows as many streams as it may.
        """
        if self.follows(name):
            raise Conflict(f'this connection already follows "{name}"')
        if len(self.subscriptions) + len(self.pending) >= self._pace.subscriptions:
            raise LimitExceeded(
                f"a connection may follow at most {self._pace.subscriptions} streams: "
                "unsubscribe from one first"
            )

    def subscribe(self, stream: FollowedStream, place: Place) -> None:
        """Follow a stream from a place."""
        subscription = Subscription(self, stream, place)
        self.subscriptions[stream.name] = subscription
        if place.reset is not None:
            subscription.queue_catch_up()
        else:
            subscription.send_short_lag(self._pace.catch_up_bytes)
        stream.subscribe(subscription)

    def follows(self, name: str) -> bool:
        """Whether the connection follows a stream, or waits for it."""
        return name in self.subscriptions or name in self.pending

    def subscribe_when_begun(
        self,
        awaited: StreamWaiters,
        name: str,
        start: From,
        allowed: Callable[[Connection, FollowedStream], bool],
    ) -> None:
        """Follow a stream once it begins, if it is ``allowed`` then."""
        if not self.ended:
            self.pending[name] = PendingSubscription(
                self, awaited, name, start, partial(allowed, self)
            )

    def choose_encoder(self, stream: FollowedStream) -> None:
        """Choose the encoder for the content type of a stream.

        Raises:
            Conflict: ``not_json``: none of this transport's encoders can encode it.
        """
        plain = for_text(self.encoder) if stream.settings.is_text else None
        if plain is None:
            stream.expect_events()
        else:
            self.encoder = plain

    def unsubscribe(self, name: str) -> bool:
        """Stop following, waiting and taking part; false if it did neither of the first two."""
        if name in self.parts:
            self.parts[name].end()
        if (pending := self.pending.pop(name, None)) is not None:
            pending.cancel()
            return True
        subscription = self.subscriptions.pop(name, None)
        if subscription is None:
            return False
        subscription.stream.unsubscribe(subscription)
        return True

    # Writing

    async def send(self, frame: bytes) -> None:
        """Write a frame that belongs to no stream, after what already waits.

        Blocks while too many such frames wait, so that the hub stops reading from a client that
        sends many commands and reads no replies.
        """
        if not self.busy and not self.wire.writing_paused:
            self.write(frame)
            return
        if self._replies is None:
            self._replies = asyncio.Semaphore(REPLIES)
        await self._replies.acquire()
        self.enqueue(frame)

    async def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message of `hub.v1`, if the format has these."""
        await self.send(self.encoder.control(message) or b"")

    def note(self, note: Note) -> None:
        """Write a note now if the connection is clear, otherwise when its turn comes."""
        if self.busy or self.wire.writing_paused:
            self.enqueue(note)
        else:
            self.write(note.frame())

    def enqueue(self, item: Subscription | Note | bytes) -> None:
        """Put a subscription, a note or a frame into the outbox, and start the writer."""
        if self.ended:
            return
        if self._outbox is None:
            # Each stream may need a slot for its records and one for its participants.
            places = 2 * (self._pace.subscriptions + GIVEN_UP)
            self._outbox = asyncio.Queue(places + REPLIES + GIVEN_UP)
        self._outbox.put_nowait(item)
        if not self.busy:
            self.busy = True
            self._writer = asyncio.create_task(self._write_out(self._outbox))

    async def _write_out(self, outbox: asyncio.Queue[Subscription | Note | bytes]) -> None:
        """Write the items of the outbox, each when the socket has drained."""
        try:
            while not outbox.empty() and not self.ended:
                await self._drain()
                await self._write_next(outbox.get_nowait())
                # A fast reader of a long history must not monopolise the event loop.
                await asyncio.sleep(0)
            if self.complete:
                # Until the end is read, `tick` may still cut off a slow client.
                await self._drain()
                self.end()
        except ConnectionError:
            self.end()
        except StoreError as error:
            log.error("a connection was cut off because its stream cannot be read: %s", error)
            self.abort()
        except Exception:
            log.exception("a connection was cut off because of an error in the hub")
            self.counts.failures += 1
            self.abort()
        finally:
            self.busy = False

    async def _write_next(self, item: Subscription | Note | bytes) -> None:
        if isinstance(item, Subscription):
            await self._catch_up(item)
        elif isinstance(item, bytes):
            self.write(item)
            if self._replies is not None:
                self._replies.release()
        else:
            self.write(item.frame())

    async def _catch_up(self, subscription: Subscription) -> None:
        """Write the next frame of a subscription, and queue it again until it is at the tail."""
        subscription.queued = False
        stream = subscription.stream
        if self.subscriptions.get(stream.name) is not subscription:
            return
        frame = await subscription.next_frame(self._pace.catch_up_bytes)
        if self.subscriptions.get(stream.name) is not subscription:
            return
        if frame is None:
            self.abort()
            return
        self.write(frame)
        if not subscription.done:
            if subscription.lag:
                subscription.queue_catch_up()
            return
        self.write(self.encoder.closed(stream.name, stream.position))
        self.unsubscribe(stream.name)
        self.last_closed = stream
        self._check_complete()

    def _check_complete(self) -> None:
        """Note that all of a response has been written once it follows nothing any more."""
        following = self.opening or self.subscriptions or self.pending
        self.complete = self._over is not None and not following

    def write(self, frame: bytes) -> None:
        """Write a frame now, before what waits; for a connection's first frame, and its writer.

        Nothing is written after the end, not even the reply to a pending command: a WebSocket's
        close frame is its last (RFC 6455 section 5.5.1).
        """
        if self.ended:
            return
        transport = self.wire.transport
        if transport is None:
            self.end()
        elif frame:
            transport.write(frame)
            self._written += len(frame)

    # The end

    def tick(self, now: float) -> None:
        """Send a beat if one is due, cut off a stuck client, notice a lost one.

        Called about once a second for every connection with the loop's time, so a connection
        needs no timer of its own.
        """
        transport = self.wire.transport
        if self.ended:
            return
        if transport is None:
            self.end()
        elif self._over is not None and self._is_expired():
            # As if the response had lasted long enough: its client comes back with another one.
            self.expired = True
            self.end()
        elif self.wire.writing_paused:
            self._cut_off_if_stuck(transport, now)
        else:
            self._progress = None
            if now >= self.beat_at:
                self.beat_at = now + self._pace.beat_seconds
                if not self.busy:
                    self.write(self.encoder.beat())

    def _is_expired(self) -> bool:
        return self.by.expires is not None and self.by.expires <= time.time()

    def _cut_off_if_stuck(self, transport: asyncio.Transport, now: float) -> None:
        # Nothing is written while writing is paused. So the client makes progress if its buffer
        # shrinks, or if anything was written since, however full the buffer is again.
        written = self._written + sum(one.place for one in self.subscriptions.values())
        left = transport.get_write_buffer_size()
        if self._progress is None:
            self._progress = StallDetector()
        if self._progress.pause(now, written, left) >= self._pace.slow_client_timeout:
            self.counts.evictions += 1
            give_up(transport)
            self.end()

    def refuse(self, pending: PendingSubscription) -> None:
        """A stream that was waited for has begun, but cannot be followed."""
        if pending.frame():
            self._give_up(pending)
        else:
            # The format cannot say so; the next request gets the error as a status.
            self.abort()

    def abort(self, *, sent: bool = False) -> None:
        """Cut the connection off; with ``sent`` only after its buffer has been sent."""
        transport = self.wire.transport
        if transport is not None and not transport.is_closing():
            if self._over is not None and not isinstance(self.encoder, Chunked):
                # The end of such a response is marked only by closing the socket.
                close_by_reset(transport)
            leave = transport.close if sent and not self.busy else transport.abort
            leave()
        self.end()

    def revoke(self, code: CloseCode = CloseCode.REVOKED) -> None:
        """End at once, because its principal may not go on; ``code`` is for a WebSocket."""
        if self._over is not None:
            # As when the credential expires; the client is refused when it comes back.
            self.expired = True
            self.end()
        else:
            if not self.busy:
                self.write(close_frame(code))
            self.abort(sent=True)

    def lose(self, names: Iterable[str]) -> None:
        """Tell the client of streams that it may not follow any more, and does not."""
        lost = _Lost(tuple(names), self.encoder)
        if lost.frame():
            self._give_up(lost)
        else:
            self.expired = True
            self.end()

    def _give_up(self, why: Note) -> None:
        """Tell the client why it does not follow a stream any more; others go on."""
        self._check_complete()
        if self.complete:
            self.enqueue(why)  # the writer then ends the response
        else:
            self.note(why)

    def opened(self) -> None:
        """No more streams are about to be followed; ends a response that follows none by now."""
        self.opening = False
        if not self.ended:
            self._check_complete()
            if self.complete:
                self.enqueue(b"")

    def end(self) -> None:
        """Write and follow nothing more; the socket is not closed."""
        self.ended = True
        for name in [*self.subscriptions, *self.pending]:
            self.unsubscribe(name)
        if self._replies is not None:
            # Release the tasks that wait in `send`: nothing will be written.
            for _ in range(REPLIES):
                self._replies.release()
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    async def idle(self, *, within: float) -> bool:
        """Wait until everything is written, ``within`` seconds at most; returns whether it is."""
        if self._writer is not None and self.busy:
            await asyncio.wait([self._writer], timeout=within)
        return not self.busy

    async def close(self) -> None:
        """End, and stop the writer; the last step of the request's handler."""
        self.end()
        transport = self.wire.transport
        if self._writer is not None and not self._writer.done():
            if transport is not None:
                # Only on a lost socket may the wait for its drain be cancelled.
                transport.abort()
            self._writer.cancel()
            await asyncio.wait([self._writer])
        elif transport is not None and transport.is_closing() and transport.get_write_buffer_size():
            # It closes when its buffer is empty, which a client that reads nothing can delay.
            asyncio.get_running_loop().call_later(
                self._pace.slow_client_timeout, give_up, transport
            )
