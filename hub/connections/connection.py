"""Connections and subscriptions: who is written to, how, and what happens when they are slow.

A connection is *clear* while nothing waits to be written to it: its outbox is empty and its
transport has not paused the writing. A frame for a clear connection goes out at once, with
one `transport.write`. Otherwise the subscription is put into the **outbox**, the
connection's bounded `asyncio.Queue`, where it stands at most once: what waits there is a
place, not a copy, so a slow connection holds no records. The connection's writer takes it
out when the socket has drained, and sends what lies between its place and the tail, with
consecutive deltas merged, in frames of a bounded size. Whoever joins late, comes back or
falls behind goes this one way, and is written to directly again once at the tail.

The writer is the only one that ever waits for the socket to drain: aiohttp shares one
waiter among all who do, and a wait that is cancelled would poison it for the others. It
lives only while the outbox holds something; an idle connection has neither queue nor task.

A connection that takes nothing for ``slow_client_timeout`` is cut by a reset: a close frame
would only stand behind the bytes it does not take, and so would a FIN, in the kernel.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from hub.connections.participants import Participant
from hub.connections.pending_subscription import PendingSubscription
from hub.connections.stall import StallDetector
from hub.connections.subscription import Subscription
from hub.domain import defaults
from hub.domain.counters import Counters
from hub.domain.errors import Conflict, LimitExceeded, StoreError
from hub.domain.principal import LOCAL, Principal
from hub.frames.chunked import Chunked, for_text
from hub.frames.encoder import Encoder
from hub.http.client_socket import ClientSocket, close_by_reset, give_up
from hub.streams.followed import FollowedStream
from hub.streams.history import From, Place
from hub.streams.waiters import StreamWaiters

__all__ = ["ClientSocket", "Connection", "Note", "Pace"]

log = logging.getLogger("hub.connection")

REPLIES: Final = 16
"""Frames other than a stream's that may wait in an outbox."""

GIVEN_UP: Final = REPLIES + 2
"""More places in an outbox: for what was unsubscribed from while it waited, which stands
there before the reply to that, and for a farewell."""


class Note(Protocol):
    """Something to be told that belongs to no place in a stream, made when its turn comes."""

    def frame(self) -> bytes:
        """What to write now; empty if there is nothing any more."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a connection is written to.

    ``catch_up_bytes`` is the size at which a catch-up frame is cut, ``beat_seconds`` the
    time between signs of life, ``slow_client_timeout`` the seconds without progress after
    which a connection is given up, ``subscriptions`` how many it may have, and
    ``write_buffer_bytes`` what its transport holds before the writing pauses.
    """

    catch_up_bytes: int = defaults.CATCH_UP_BYTES
    beat_seconds: float = defaults.BEAT
    slow_client_timeout: float = defaults.SLOW_CLIENT
    subscriptions: int = defaults.SUBSCRIPTIONS
    write_buffer_bytes: int = defaults.WRITE_BUFFER_BYTES


class Connection:
    """One WebSocket or one streaming HTTP response, from the side of what is sent to it.

    ``wire`` is aiohttp's protocol object, ``drain`` waits until its buffer is low again, and
    ``encoder`` is the one of its subscriptions and beats. With ``over`` the connection ends
    when its last subscription has, and resolves that future then. ``by`` is the principal
    that opened it.
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
        "parts",
        "standbys",
        "subscriptions",
        "through",
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
        self.standbys: dict[str, PendingSubscription] = {}
        """Streams that are to be followed once they begin."""
        self.parts: dict[str, Participant] = {}
        """Streams it takes part in."""
        self.busy = False
        """The outbox holds something, or the writer is at it."""
        self.ended = False
        """Nothing is written any more."""
        self.complete = False
        """Everything there was to send has been written."""
        self.through: FollowedStream | None = None
        """The stream whose end was written last."""
        self._over = over
        self.by = by
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

    # Subscriptions

    def admit(self, name: str) -> None:
        """Whether another stream may be followed.

        Raises:
            Conflict: it is followed already, or waited for.
            LimitExceeded: the connection follows as many as it may.
        """
        if self.follows(name):
            raise Conflict(f'this connection follows "{name}" already')
        if len(self.subscriptions) + len(self.standbys) >= self._pace.subscriptions:
            raise LimitExceeded(
                f"a connection may follow {self._pace.subscriptions} streams: unsubscribe first"
            )

    def subscribe(self, stream: FollowedStream, place: Place) -> None:
        """Follow a stream from a place on."""
        subscription = Subscription(self, stream, place)
        self.subscriptions[stream.name] = subscription
        if place.reset is not None:
            subscription.queue_catch_up()
        else:
            subscription.take_up(self._pace.catch_up_bytes)
        stream.subscribe(subscription)

    def follows(self, name: str) -> bool:
        """Whether it is subscribed to a stream, or waits for it."""
        return name in self.subscriptions or name in self.standbys

    def stand_by(self, awaited: StreamWaiters, name: str, start: From) -> None:
        """Follow a stream once it begins."""
        if not self.ended:
            self.standbys[name] = PendingSubscription(self, awaited, name, start)

    def choose_encoder(self, stream: FollowedStream) -> None:
        """Speak to its reader as the stream's content wants it.

        Raises:
            Conflict: ``not_json``: there is no way to.
        """
        plain = for_text(self.encoder) if stream.settings.is_text else None
        if plain is None:
            stream.expect_events()
        else:
            self.encoder = plain

    def unsubscribe(self, name: str) -> bool:
        """Stop following, waiting and taking part; false if it was neither followed nor awaited."""
        if name in self.parts:
            self.parts[name].end()
        standby = self.standbys.pop(name, None)
        if standby is not None:
            standby.cancel()
            return True
        subscription = self.subscriptions.pop(name, None)
        if subscription is None:
            return False
        subscription.stream.unsubscribe(subscription)
        return True

    # Writing

    async def send(self, frame: bytes) -> None:
        """Write a frame that belongs to no stream, after what already waits.

        Waits while too many such frames wait, so that a client which asks much and reads
        nothing is itself read no further.
        """
        if not self.busy and not self.wire.writing_paused:
            self.write(frame)
            return
        if self._replies is None:
            self._replies = asyncio.Semaphore(REPLIES)
        await self._replies.acquire()
        self.enqueue(frame)

    def note(self, note: Note) -> None:
        """Tell something: now if the connection is clear, else when its turn comes."""
        if self.busy or self.wire.writing_paused:
            self.enqueue(note)
        else:
            self.write(note.frame())

    def enqueue(self, item: Subscription | Note | bytes) -> None:
        """Put a subscription, a note or a frame into the outbox, and have the writer run."""
        if self.ended:
            return
        if self._outbox is None:
            # A stream has a place for what it holds and one for who takes part in it.
            places = 2 * (self._pace.subscriptions + GIVEN_UP)
            self._outbox = asyncio.Queue(places + REPLIES + GIVEN_UP)
        self._outbox.put_nowait(item)
        if not self.busy:
            self.busy = True
            self._writer = asyncio.create_task(self._write_out(self._outbox))

    async def _write_out(self, outbox: asyncio.Queue[Subscription | Note | bytes]) -> None:
        """The writer: everything in the outbox, each when the socket is ready for it."""
        try:
            while not outbox.empty() and not self.ended:
                await self._drain()
                await self._write_next(outbox.get_nowait())
                # A fast reader of a long history must not keep the loop to itself.
                await asyncio.sleep(0)
            if self.complete:
                # Whoever does not read the end is a slow client like any other until then.
                await self._drain()
                self.end()
        except ConnectionError:
            self.end()
        except StoreError as error:
            log.error("a connection was cut, its stream could not be read: %s", error)
            self.abort()
        except Exception:
            log.exception("a connection was cut: what it is to be sent cannot be written")
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
        """Write the next frame of one subscription; it queues again until it is at the tail."""
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
        self.through = stream
        self.complete = self._over is not None and not self.subscriptions

    def write(self, frame: bytes) -> None:
        """Write a frame now, whatever waits: for the first of a connection, or its writer.

        After the end nothing is written: not the reply to a command either that was under way
        then, since a WebSocket's close frame is its last (RFC 6455 section 5.5.1).
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
        """What is due at a time of the loop's clock: a beat, an eviction, noticing a loss.

        Called about once a second for every connection, so it costs no timer of its own.
        """
        transport = self.wire.transport
        if self.ended:
            return
        if transport is None:
            self.end()
        elif self.wire.writing_paused:
            self._give_up_if_stuck(transport, now)
        else:
            self._progress = None
            if now >= self.beat_at:
                self.beat_at = now + self._pace.beat_seconds
                if not self.busy:
                    self.write(self.encoder.beat())

    def _give_up_if_stuck(self, transport: asyncio.Transport, now: float) -> None:
        # Nothing is written while the writing is paused. So it makes progress if its buffer
        # shrinks, and also if anything was written since, however full its buffer is again.
        written = self._written + sum(one.place for one in self.subscriptions.values())
        left = transport.get_write_buffer_size()
        if self._progress is None:
            self._progress = StallDetector()
        if self._progress.pause(now, written, left) >= self._pace.slow_client_timeout:
            self.counts.evictions += 1
            give_up(transport)
            self.end()

    def refuse(self, standby: PendingSubscription) -> None:
        """What was waited for has begun and cannot be followed."""
        if self._over is None:
            self.note(standby)
        else:
            # A response has no words for that: whoever asks again is told by the status.
            self.abort()

    def abort(self, *, sent: bool = False) -> None:
        """Cut the connection. What is in its buffer goes out only if it is to be ``sent``."""
        transport = self.wire.transport
        if transport is not None and not transport.is_closing():
            if self._over is not None and not isinstance(self.encoder, Chunked):
                # Nothing but the closing of the socket marks the end of such a response.
                close_by_reset(transport)
            leave = transport.close if sent and not self.busy else transport.abort
            leave()
        self.end()

    def end(self) -> None:
        """Write nothing any more and follow nothing; the socket is left as it is."""
        self.ended = True
        for name in [*self.subscriptions, *self.standbys]:
            self.unsubscribe(name)
        if self._replies is not None:
            # Let go whoever waits in `send`: nothing will be written.
            for _ in range(REPLIES):
                self._replies.release()
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    async def idle(self, *, within: float) -> bool:
        """Wait until everything is written, some seconds at most; whether it is."""
        if self._writer is not None and self.busy:
            await asyncio.wait([self._writer], timeout=within)
        return not self.busy

    async def close(self) -> None:
        """End, and see the writer out. For the transport's handler, as its last step."""
        self.end()
        transport = self.wire.transport
        if self._writer is not None and not self._writer.done():
            if transport is not None:
                # Only on a lost socket may the wait for its drain be cancelled.
                transport.abort()
            self._writer.cancel()
            await asyncio.wait([self._writer])
        elif transport is not None and transport.is_closing() and transport.get_write_buffer_size():
            # It closes when its buffer is empty, which whoever reads no more can put off.
            asyncio.get_running_loop().call_later(
                self._pace.slow_client_timeout, give_up, transport
            )
