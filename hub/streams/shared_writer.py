"""The writer of streams that several hubs write: the engine checks and writes in one step.

A write is acknowledged once this hub's own mirror has it. So whoever was told that it is there can
read it here; and if the engine loses it, the mirror puts it back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from secrets import token_hex
from typing import Final

from hub.domain.errors import Conflict, Gone, RequestError, StoreError, StreamNotFound
from hub.domain.events import encode
from hub.domain.outcome import Outcome
from hub.domain.producers import Stamp
from hub.domain.records import Body, Position
from hub.domain.stream_names import check_name
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores.shared import Bodies, DueFork, SharedEngine, SourceHold, Written
from hub.streams.forks import Beginning, beginning, inherited, is_fork, same
from hub.streams.mirror import Mirror
from hub.streams.mirrors import Mirrors
from hub.streams.opened import ABSENT, check_epoch

__all__ = ["SharedWriter"]

log = logging.getLogger("hub.streams")

HOLDS: Final = 5
"""How often a fork is tried of a stream that is trimmed, un-written or lost at the same time."""

LOOK_SECONDS: Final = 20.0
"""How often it is looked for forks whose sources may be held in vain."""


class SharedWriter:
    """Writes to the streams of an engine; see `hub.stores.writer.Writer`."""

    def __init__(self, mirrors: Mirrors, *, clock: Callable[[], float] = time.time) -> None:
        self._mirrors = mirrors
        self._clock = clock

    async def load(self, stream: str) -> Outcome:
        return (await self._mirrors.fresh(stream)).outcome()

    async def create(
        self,
        stream: str,
        settings: StreamSettings,
        bodies: Sequence[Body] = (),
        *,
        close: bool = False,
        epoch: int | None = None,
    ) -> Outcome:
        if epoch is not None and epoch != ABSENT:
            found = await self._open(stream, epoch)
            return self._existing(found.name, found.outcome(), found.settings, settings, close)
        written, before = await self._create(stream, settings, _bodies(bodies), close=close)
        if before is None:
            return _outcome(written, settings)
        if epoch == ABSENT:
            raise StreamNotFound.named(stream)
        return self._existing(stream, _outcome(written, before), before, settings, close)

    def _existing(
        self,
        name: str,
        outcome: Outcome,
        found: StreamSettings,
        wanted: StreamSettings,
        close: bool,
    ) -> Outcome:
        if found.fork or outcome.closed != close or not same(found, wanted):
            raise _exists(name)
        return replace(outcome, duplicate=True)

    async def _create(
        self,
        stream: str,
        settings: StreamSettings,
        bodies: Bodies,
        *,
        close: bool = False,
        head: int = 0,
        epochs: Sequence[tuple[int, int]] = (),
    ) -> tuple[Written, StreamSettings | None]:
        """Create a stream and open its mirror; of one that exists, its settings."""
        check_name(stream, self._mirrors.name_length)
        expires = settings.expires(self._clock())
        try:
            written, before = await self._mirrors.engine.create(
                stream,
                settings,
                bodies,
                close=close,
                expires=None if expires is None else round(expires * 1000),
                head=head,
                epochs=epochs,
            )
        except Gone:
            raise _deleted(stream) from None
        if before is None:
            with suppress(StreamNotFound, Gone):  # deleted in the meantime
                await self._mirrors.open(stream)
        return written, before

    async def write(
        self,
        stream: str,
        bodies: Sequence[Body],
        *,
        stamp: Stamp | None = None,
        sequence: str | None = None,
        close: bool = False,
        settings: StreamSettings | None = None,
        epoch: int | None = None,
    ) -> Outcome:
        while True:
            if settings is None:
                mirror = await self._open(stream, epoch)
            else:
                mirror, _ = await self.open_or_create(stream, settings, epoch=epoch)
            if any(event is not None for _, event in bodies):
                mirror.expect_events()
            try:
                written = await self._mirrors.engine.write(
                    stream,
                    _bodies(bodies),
                    stamp=stamp,
                    sequence=sequence,
                    close=close,
                    born=mirror.born,
                )
            except StreamNotFound:
                if settings is None or epoch is not None:
                    raise
                # It was deleted meanwhile; another one begins.
                await self._mirrors.until(mirror, _is_gone)
            else:
                break
        if not written.duplicate:
            await self._mirrors.confirmed(mirror, written)
        return _outcome(written, mirror.settings)

    async def open_or_create(
        self, stream: str, settings: StreamSettings, *, epoch: int | None = None
    ) -> tuple[Mirror, bool]:
        """The mirror of a stream, which is created if there is none, and whether it was.

        Raises what `hub.streams.opened.StreamRegistry.create` does.
        """
        try:
            return await self._open(stream, epoch), False
        except StreamNotFound:
            if epoch not in (None, ABSENT):
                raise
        except Gone:
            raise _deleted(stream) from None
        _, before = await self._create(stream, settings, ())
        if before is not None and epoch == ABSENT:
            raise StreamNotFound.named(stream)
        return await self._mirrors.open(stream), before is None

    async def fork(
        self,
        stream: str,
        source: str,
        position: Position | None = None,
        settings: StreamSettings | None = None,
        *,
        further: int = 0,
        bodies: Sequence[Body] = (),
        close: bool = False,
        epoch: int | None = None,
        source_epoch: int | None = None,
    ) -> Outcome:
        check_name(stream, self._mirrors.name_length)
        settings = StreamSettings(content_type="") if settings is None else settings
        hold = SourceHold(source, stream, token_hex(8))
        for _ in range(HOLDS):
            try:
                origin = await self._mirrors.fresh(source)
            except Gone:
                raise Conflict(f'"{source}" was deleted', code="stream_deleted") from None
            check_epoch(source, origin, source_epoch)
            first = await beginning(origin, position, further)
            fork = Fork(source, first.offset, hold.token)
            whole = replace(inherited(settings, origin.settings), fork=fork)
            asked = None if position is None else first
            found = await self._fork_of(stream, whole, asked, close=close, epoch=epoch)
            if found is not None:
                return found
            engine = self._mirrors.engine
            if not await _hold(engine, hold, first.offset):
                continue  # it has been trimmed meanwhile
            if engine is not self._mirrors.engine:
                continue  # what it held may be lost
            own = [first.part] if first.part else []
            own += [encode(end) for end in first.ends]
            try:
                written, before = await self._create(
                    stream,
                    whole,
                    own + _bodies(bodies),
                    close=close,
                    head=origin.head,
                    epochs=origin.lives.until(first.offset),
                )
            except (Conflict, StoreError) as error:
                if error.code == "stream_moved":
                    continue
                if isinstance(error, Conflict) or error.code == "store_full":
                    await self._give_up(hold)
                raise  # of other errors it is not known whether it has begun
            if before is None:
                return _outcome(written, whole)
            await self._give_up(hold)
            found = await self._fork_of(stream, whole, asked, close=close, epoch=epoch)
            if found is None:
                raise StreamNotFound.named(stream)  # deleted again in the meantime
            return found
        raise RequestError(f'"{source}" has no such position', code="bad_fork_offset")

    async def _fork_of(
        self,
        name: str,
        wanted: StreamSettings,
        first: Beginning | None,
        *,
        close: bool,
        epoch: int | None,
    ) -> Outcome | None:
        """The outcome of a fork that exists already; ``None`` if no stream has the name.

        Raises:
            Conflict: ``stream_exists``: another stream has it.
            StreamNotFound: the name is not in the epoch that was meant.
        """
        try:
            taken = await self._mirrors.fresh(name)
        except Gone:
            raise _exists(name) from None
        except StreamNotFound:
            if epoch not in (None, ABSENT):
                raise
            return None
        check_epoch(name, taken, epoch)
        if not await is_fork(taken, wanted, first) or taken.closed != close:
            raise _exists(name)
        return replace(taken.outcome(), duplicate=True)

    async def delete(self, stream: str, *, epoch: int | None = None) -> Outcome:
        mirror = await self._open(stream, epoch)
        hold = await self._mirrors.engine.delete(stream, born=mirror.born)
        await self._mirrors.until(mirror, _is_gone)
        await self._release(hold)
        return mirror.outcome()

    async def _give_up(self, hold: SourceHold) -> None:
        """Release the source of a fork that does not begin."""
        with suppress(StoreError):
            await self._release(hold)

    async def _release(self, hold: SourceHold | None, due: int | None = None) -> None:
        """Release the source of a fork that is gone, and those that are thereby gone, too."""
        while hold is not None:
            try:
                hold = await self._mirrors.engine.release(hold, due=due)
            except StreamNotFound:
                return  # it has expired
            due = None

    async def look_for_forks(self) -> None:
        """Release what is held for forks that have never begun, or are gone, until cancelled.

        A hub that dies leaves such holds, and forks expire by themselves.
        """
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                for fork in await self._mirrors.engine.due_forks():
                    await self._look_for(fork)
            except StoreError as error:
                log.debug("forks are looked for later: %s", error)

    async def _look_for(self, fork: DueFork) -> None:
        engine, hold = self._mirrors.engine, fork.hold
        try:
            found = await engine.load(hold.fork, 0)
        except StreamNotFound:
            found = None
        # Another one of its name has another token, and a hold of its own.
        if found is None or SourceHold.of(hold.fork, found.settings) != hold:
            log.info("%s is not the fork of %s that it is held for", hold.fork, hold.source)
            await self._release(hold, fork.due)
        else:
            later = found.expires is not None and found.expires > fork.due
            await engine.keep_fork(fork, found.expires if later else None)

    async def touch(self, stream: str) -> Outcome:
        mirror = await self._mirrors.open(stream)
        if mirror.settings.ttl is not None:
            try:
                written = await self._mirrors.engine.touch(stream)
                await self._mirrors.confirmed(mirror, written)
            except StoreError as error:
                # What is in memory can be read all the same.
                log.warning("the expiry of stream %s is not postponed: %s", stream, error)
        return mirror.outcome()

    async def _open(self, name: str, epoch: int | None) -> Mirror:
        """An existing stream; with ``epoch`` only the one that was in it."""
        mirror = await self._mirrors.open(name)
        if epoch is not None and not mirror.has_been(epoch):
            raise StreamNotFound(f'"{name}" was deleted already')
        return mirror


async def _hold(engine: SharedEngine, hold: SourceHold, offset: int) -> bool:
    try:
        return await engine.hold(hold, offset)
    except Gone:
        raise Conflict(f'"{hold.source}" was deleted', code="stream_deleted") from None


def _bodies(bodies: Sequence[Body]) -> list[bytes]:
    return [body for body, _ in bodies]


def _outcome(written: Written, settings: StreamSettings) -> Outcome:
    position = Position(written.epoch, written.tail)
    duplicate, number = written.duplicate, written.number
    return Outcome(position, written.closed, settings.content_type, duplicate, number)


def _is_gone(mirror: Mirror) -> bool:
    return mirror.removed or mirror.hidden or mirror.lost


def _exists(name: str) -> Conflict:
    return Conflict(f'there is already a different stream "{name}"', code="stream_exists")


def _deleted(name: str) -> Conflict:
    return Conflict(
        f'"{name}" was deleted, and its forks still hold the name', code="stream_deleted"
    )
