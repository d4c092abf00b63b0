"""How a generation writes to a stream that several hubs write: often, and without waiting.

An event goes into the queue of its appender. The ticker sends what has gathered: one call is under
way for each partition, and all that comes meanwhile joins the next. So calls become larger as the
engine becomes slower, not more.

Each record of a generation has a number. The engine takes only the next one, so a call whose reply
was lost may be sent again; and if the engine has lost some, they are sent again from there. It
never goes on after a hole. Once somebody else has ended the generation, because this hub seemed to
be dead, or has deleted its stream, nothing is taken any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from hub.domain.errors import Conflict, Gone, HubError, StoreError, StreamClosed, StreamNotFound
from hub.domain.events import Event, encode
from hub.domain.records import Position
from hub.stores.refusals import requeued
from hub.stores.shared import Tick, Ticked, Written
from hub.streams.mirror import Mirror
from hub.streams.mirrors import Mirrors

__all__ = ["SharedAppender", "Ticker"]

CALL_BYTES: Final = 256 * 1024
"""The most of one call, and of one stream in it; one record may be larger."""

UNSENT_BYTES: Final = 1024 * 1024
"""How much may wait in an appender before its source has to wait."""

KEPT_BYTES: Final = 4 * 1024 * 1024
"""What is kept of a generation, in case that the engine loses it."""

RETRY_SECONDS: Final = 0.1


class SharedAppender:
    """Writes the events of one generation, which has begun with ``bodies``.

    See `hub.stores.writer.Appender`.
    """

    def __init__(
        self,
        ticker: Ticker,
        mirror: Mirror,
        position: Position,
        partition: int,
        generation: str,
        bodies: list[bytes],
    ) -> None:
        self.mirror = mirror
        self.position = position
        """Where its first event is."""
        self.generation = generation
        self.partition = partition
        self.over: HubError | None = None
        """Why nothing more can be written, once that is so."""
        self.cancelled = asyncio.Event()
        """Set once somebody has asked for the generation to stop."""
        self.stopped = asyncio.Event()
        """Set once there is no use in writing more: it is to stop, or nothing is taken any more."""
        self._ticker = ticker
        self._kept = bodies
        self._first = 0
        """The number of the first record that is kept."""
        self._next = len(bodies)
        """The number of the next record to send."""
        self._kept_bytes = sum(map(len, bodies))
        self._unsent_bytes = 0
        self._holed = False
        """The engine has lost more than is kept."""
        self._ending = False
        """The rest is written with the end, in one step: whoever reads that sees no more run."""
        self._space: list[asyncio.Future[None]] = []

    def append(self, event: Event, *, safe: bool = False) -> None:
        if self.over is not None:
            raise self.over
        self._push(encode(event))
        self._ticker.send(self)

    def _push(self, body: bytes) -> None:
        self._kept.append(body)
        self._kept_bytes += len(body)
        self._unsent_bytes += len(body)

    @property
    def full(self) -> bool:
        return self._unsent_bytes > UNSENT_BYTES and self.over is None

    async def space(self) -> None:
        while self.full:
            self._space.append(waiter := asyncio.get_running_loop().create_future())
            await waiter

    def next_tick(self) -> Tick | None:
        """The next records to send; ``None`` if there are none."""
        bodies: list[bytes] = []
        size = 0
        for body in self._kept[self._next - self._first :]:
            size += len(body)
            if bodies and size > CALL_BYTES:
                break
            bodies.append(body)
        if not bodies or self._ending or self.over is not None:
            return None
        return Tick(self.mirror.name, self.generation, self._next, bodies)

    def take(self, tick: Tick, ticked: Ticked) -> None:
        """Note what came of a tick."""
        if ticked.written is not None:
            self._go_on_at(tick.number + len(tick.bodies))
            if ticked.cancelled:
                self.cancel()
        elif ticked.number is not None:
            self._go_on_at(ticked.number)
        else:
            self.finish(_ended_elsewhere(self.mirror.name))

    def _go_on_at(self, number: int) -> None:
        if not self._first <= number <= self._first + len(self._kept):
            # It ends here, as if another hub had interrupted it.
            self._holed = True
            self.finish(StoreError("the store has lost too much of the generation"))
            return
        self._next = number
        self._unsent_bytes = sum(map(len, self._kept[number - self._first :]))
        drop = 0
        while self._kept_bytes > KEPT_BYTES and self._first + drop < self._next:
            self._kept_bytes -= len(self._kept[drop])
            drop += 1
        if drop:
            del self._kept[:drop]
            self._first += drop
        self._wake()

    def cancel(self) -> None:
        """Somebody has asked for the generation to stop."""
        self.cancelled.set()
        self.stopped.set()

    def check(self) -> None:
        """Write nothing more if another hub has ended the generation, or its stream is gone."""
        mirror = self.mirror
        if mirror.running != self.generation and not mirror.lost and self.over is None:
            self.finish(_ended_elsewhere(mirror.name))

    def finish(self, why: HubError) -> None:
        """Write nothing more."""
        if self.over is None:
            self.over = why
        self.stopped.set()
        self._wake()

    def _wake(self) -> None:
        if not self.full:
            waiting, self._space = self._space, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)

    async def end(
        self,
        events: Sequence[Event],
        *,
        close: bool = False,
        queue: str | None = None,
        hold: bool = False,
    ) -> Written | None:
        """Write what is left and the last events, of which the last is the terminal one.

        Waits for the engine for as long as it is away. ``None`` if the generation had an end
        already: another hub's, or this one, if a reply was lost. ``queue`` and ``hold`` are those
        of `hub.stores.shared.SharedEngine.end`.

        Raises:
            Conflict: ``queue_changed``: it has no end yet, and may be given another one.
        """
        if self.over is not None and not self._holed:
            return None
        self._ending = True
        for event in events:
            self._push(encode(event))
        try:
            written = await self._ticker.end(self, len(events), close=close, queue=queue, hold=hold)
        except Conflict:
            for body in self._kept[-len(events) :]:
                self._kept_bytes -= len(body)
                self._unsent_bytes -= len(body)
            del self._kept[-len(events) :]
            raise
        self.finish(StreamClosed(f'the generation in "{self.mirror.name}" has ended'))
        return written

    def last(self, count: int) -> tuple[int | None, list[bytes]]:
        """All that is left to be sent, and the number of the first; ``None`` if only the ``count``
        records of its end can be.
        """
        if self._holed:
            return None, self._kept[-count:]
        return self._next, self._kept[self._next - self._first :]


class Ticker:
    """Sends what the generations of this hub write; ``node`` is its name.

    `stop` it in the end.
    """

    def __init__(self, mirrors: Mirrors, node: str) -> None:
        self._mirrors = mirrors
        self._node = node
        self._due: dict[int, dict[SharedAppender, None]] = {}
        """The appenders of each partition that have something to send, the next one first."""
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def begin(
        self,
        stream: str,
        generation: str,
        tail: int,
        events: Sequence[Event],
        queue: tuple[str, str] | None = None,
    ) -> SharedAppender | None:
        """Begin a generation in a stream that ends at ``tail``, with its first events.

        The last of these is its `Started`. ``None`` if it had begun already. ``queue`` is that of
        `hub.stores.shared.SharedEngine.begin`.

        Raises:
            StreamBusy: another generation runs there.
            Conflict: ``stream_moved``: the stream ends elsewhere by now; ``queue_changed``: another
                prompt is the next one by now.
            HubError: as `hub.streams.mirrors.Mirrors.open`.
        """
        mirror = await self._mirrors.open(stream)
        mirror.expect_events()
        engine = self._mirrors.engine
        bodies = [encode(event) for event in events]
        # Enlisted first: if this hub dies after the next step, another one ends what it began.
        await engine.enlist(self._node, stream, generation)
        try:
            written = await engine.begin(stream, generation, self._node, tail, bodies, queue=queue)
        except HubError as error:
            if not isinstance(error, StoreError):
                await engine.strike(self._node, stream, generation)
            raise
        if written is None:
            return None
        # Again: this hub may have seemed to be dead in between.
        await engine.enlist(self._node, stream, generation)
        await self._mirrors.confirmed(mirror, written)
        position = Position(written.epoch, written.tail - len(bodies))
        partition = engine.partition(stream)
        return SharedAppender(self, mirror, position, partition, generation, bodies)

    def send(self, appender: SharedAppender) -> None:
        """Send what an appender has, with the next call."""
        partition = appender.partition
        self._due.setdefault(partition, {})[appender] = None
        if partition not in self._tasks:
            self._tasks[partition] = asyncio.create_task(self._send(partition))

    async def _send(self, partition: int) -> None:
        due = self._due[partition]
        try:
            while due:
                ticks = self._gathered(due)
                if not ticks:
                    continue
                try:
                    found = await self._mirrors.engine.tick([tick for _, tick in ticks])
                except StoreError:
                    # They are sent again; their numbers tell what has come.
                    due.update(dict.fromkeys(appender for appender, _ in ticks))
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                for (appender, tick), ticked in zip(ticks, found, strict=True):
                    appender.take(tick, ticked)
                    due[appender] = None
        finally:
            del self._tasks[partition]

    def _gathered(self, due: dict[SharedAppender, None]) -> list[tuple[SharedAppender, Tick]]:
        """The next call: each appender has its turn, and leaves if it has nothing to send."""
        ticks: list[tuple[SharedAppender, Tick]] = []
        size = 0
        for appender in list(due):
            if size > CALL_BYTES:
                break
            del due[appender]
            tick = appender.next_tick()
            if tick is not None:
                ticks.append((appender, tick))
                size += sum(map(len, tick.bodies))
        return ticks

    async def end(
        self, appender: SharedAppender, count: int, *, close: bool, queue: str | None, hold: bool
    ) -> Written | None:
        """Write the rest of a generation with its last events; see `SharedAppender.end`."""
        self._due.get(appender.partition, {}).pop(appender, None)
        stream, generation = appender.mirror.name, appender.generation
        while True:
            number, bodies = appender.last(count)
            try:
                engine = self._mirrors.engine
                found = await engine.end(
                    *(stream, generation, bodies),
                    number=number,
                    close=close,
                    queue=queue,
                    hold=hold,
                )
            except StoreError:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except (StreamNotFound, Gone):
                found = Ticked()
            if found.requeued:
                raise requeued(stream)
            if found.number is None:
                break
            appender.take(Tick(stream, generation, number or 0, bodies), found)
        # If that fails, whoever ends this node finds that it has an end.
        with suppress(StoreError):
            await self._mirrors.engine.strike(self._node, stream, generation)
        return found.written

    async def stop(self) -> None:
        """Send nothing more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _ended_elsewhere(stream: str) -> StreamClosed:
    return StreamClosed(
        f'the generation in "{stream}" was ended by another hub', code="generation_ended"
    )
