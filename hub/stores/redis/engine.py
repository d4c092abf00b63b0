"""The operations on streams, on one server, in the incarnations that it was in at the connection.

An engine is used for as long as its connections are (`hub.stores.redis.connection`).

What an operation returns is accepted by the server, and safe as ``store.acknowledge`` says
(`hub.stores.redis.acknowledgements`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from hub.domain import defaults
from hub.domain.errors import StreamClosed, StreamNotFound
from hub.domain.producers import Producers, Stamp, share_taken, too_many
from hub.domain.records import Position
from hub.domain.stream_settings import StreamSettings
from hub.stores import Listed, refusals
from hub.stores.packed import Damaged, pack
from hub.stores.redis.acknowledgements import Acknowledge
from hub.stores.redis.client import Reply
from hub.stores.redis.cluster import Cluster
from hub.stores.redis.codec import parse_entry, parse_notice
from hub.stores.redis.keys import Keys, partition_of
from hub.stores.redis.listing import Listing
from hub.stores.redis.nodes import RedisNodes
from hub.stores.redis.sentinels import Sentinels
from hub.stores.redis.state import (
    damaged,
    fields_of,
    flat,
    hash_of,
    pairs,
    parse_hold,
    parse_settings,
    parse_state,
    parse_ticked,
)
from hub.stores.shared import (
    Bodies,
    DroppedPrompt,
    DueFork,
    Entry,
    Notice,
    SourceHold,
    State,
    Tick,
    Ticked,
    Written,
    or_log,
)

__all__ = ["RedisEngine"]

ACKNOWLEDGED: Final = frozenset(("begin", "create", "own", "queue", "write"))
"""Scripts whose writes are safe once they return. Nobody waits for others of a generation."""

HELD: Final = 1000
"""Forks that may be about to begin at a time."""


class RedisEngine(RedisNodes):
    """One server at a time; see `hub.stores.shared.SharedEngine`."""

    def __init__(
        self,
        server: str | Sentinels | Cluster,
        *,
        keys: Keys | None = None,
        known: Mapping[int, int] | None = None,
        settle_seconds: float = defaults.SETTLE,
        max_records: int = defaults.MAX_RECORDS,
        max_producers: int = defaults.MAX_PRODUCERS,
        acknowledge: Acknowledge = "memory",
    ) -> None:
        """``server`` and what is not named here are as for a `RedisConnection`."""
        super().__init__(
            server, keys=keys, known=known, settle_seconds=settle_seconds, acknowledge=acknowledge
        )
        self._max_records = max_records
        self._max_producers = max_producers
        self._listing = Listing(self._partitions, self._call)
        self._held: dict[SourceHold, int] = {}
        """Until when a source is held for a fork, for those that may be about to begin."""

    # Channels

    async def subscribe(self, stream: str, heard: Callable[[Notice | None], None]) -> None:
        def take(message: bytes) -> None:
            try:
                notice = parse_notice(message)
            except Damaged:
                notice = None
            heard(notice)

        await self._listen(self.keys.of(stream).channel, take)

    def unsubscribe(self, stream: str) -> None:
        channel = self.keys.of(stream).channel
        self._at(channel).channels.unsubscribe(channel)

    async def caught_up(self) -> None:
        heard = [primary.channels.caught_up() for primary in self._primaries]
        for each in heard:
            await self._in_time(each)

    async def hear(self, topic: str, heard: Callable[[bytes], None]) -> None:
        await self._listen(self.keys.topic(topic), or_log(topic, heard))

    def ignore(self, topic: str) -> None:
        channel = self.keys.topic(topic)
        self._at(channel).channels.unsubscribe(channel)

    async def _listen(self, channel: str, heard: Callable[[bytes], None]) -> None:
        await self._in_time(self._at(channel).channels.subscribe(channel, heard))

    # Streams

    async def find(self, stream: str, limit: int) -> State | None:
        found = await self._run("load", stream, limit)
        return None if found[0] in (b"none", b"settling") else parse_state(stream, found)

    async def load(self, stream: str, limit: int) -> State:
        return parse_state(stream, await self._do("load", stream, limit))

    async def read(self, stream: str, offset: int, limit: int) -> list[Entry]:
        end: int | None = None
        while True:
            word, *found = await self._do("read", stream, offset, limit)
            if word == b"ok":
                break
            stream = found[0].decode()
            end = found[1] if end is None else min(end, found[1])
        try:
            entries = list(map(parse_entry, found[0]))
        except Damaged as error:
            raise damaged(stream, error) from None
        if end is None:
            return entries
        return [
            entry._replace(bodies=entry.bodies[: end - entry.first])
            for entry in entries
            if entry.first < end
        ]

    async def create(
        self,
        stream: str,
        settings: StreamSettings,
        bodies: Bodies = (),
        *,
        close: bool = False,
        expires: int | None = None,
        head: int = 0,
        epochs: Iterable[tuple[int, int]] = (),
    ) -> tuple[Written, StreamSettings | None]:
        lives = [f"{epoch}:{first}" for epoch, first in epochs]
        fork, hold = settings.fork, SourceHold.of(stream, settings)
        word, *found = await self._do(
            "create",
            stream,
            self.keys.of(stream).channel,
            stream,
            len(bodies),
            pack(bodies),
            "1" if close else "",
            "" if expires is None else expires,
            "" if hold is None else self._held.pop(hold, 0),
            head,
            0 if fork is None else fork.offset,
            len(lives),
            *lives,
            *fields_of(settings),
        )
        if word == b"new":
            epoch, tail, change = found
            return Written(epoch, tail, change, close), None
        if word == b"moved":
            raise refusals.moved(stream if fork is None else fork.source)
        epoch, tail, change, closed, fields = found
        held = Written(epoch, tail, change, bool(closed), duplicate=True)
        return held, parse_settings(pairs(fields))

    async def write(
        self,
        stream: str,
        bodies: Bodies,
        *,
        stamp: Stamp | None = None,
        sequence: str | None = None,
        close: bool = False,
        born: int | None = None,
    ) -> Written:
        word, *found = await self._do(
            "write",
            stream,
            self.keys.of(stream).channel,
            len(bodies),
            pack(bodies),
            "1" if close else "",
            "" if stamp is None else f"{stamp.epoch}:{stamp.number}:{stamp.producer}",
            "" if sequence is None else f"={sequence}",
            "" if born is None else born,
            self._max_producers,
            self._max_records,
        )
        if word in (b"ok", b"duplicate"):
            epoch, tail, change, closed, last = found
            number = None if stamp is None else last
            return Written(epoch, tail, change, bool(closed), word == b"duplicate", number)
        if word == b"closed":
            raise StreamClosed.named(stream, str(Position(*found)))
        if word == b"busy":
            raise refusals.runs(stream)
        if word == b"stream_seq":
            raise refusals.not_rising()
        if word == b"producer" and stamp is not None:
            epoch, last = found
            Producers({} if epoch < 0 else {stamp.producer: (epoch, last)}).check(stamp)
        if word == b"producer_share":
            raise share_taken()
        raise too_many(self._max_producers)

    async def delete(self, stream: str, *, born: int | None = None) -> SourceHold | None:
        _, *found = await self._do(
            "delete",
            stream,
            self.keys.of(stream).channel,
            stream,
            "" if born is None else born,
        )
        return parse_hold(stream, found)

    async def touch(self, stream: str) -> Written:
        found = await self._do("touch", stream, self.keys.of(stream).channel)
        _, epoch, tail, change, closed = found
        return Written(epoch, tail, change, bool(closed))

    async def set_owner(self, stream: str, owner: str | None) -> Written:
        channel = self.keys.of(stream).channel
        _, *found = await self._do("own", stream, channel, stream, owner or "")
        return Written(*found)

    async def listed(
        self, prefix: str, after: str, limit: int, owner: str | None = None
    ) -> list[Listed]:
        return await self._listing.listed(prefix, after, limit, owner)

    async def hold(self, hold: SourceHold, offset: int) -> bool:
        word, *found = await self._do("hold", hold.source, hold.key, offset, _noted(hold))
        if word != b"ok":
            return False
        self._held[hold] = found[0]
        if len(self._held) > HELD:
            del self._held[next(iter(self._held))]
        return True

    async def release(self, hold: SourceHold, *, due: int | None = None) -> SourceHold | None:
        source = hold.source
        words = (self.keys.of(source).channel, source, hold.key, _noted(hold))
        _, *found = await self._do("release", source, *words, "" if due is None else due)
        return parse_hold(source, found)

    async def due_forks(self) -> list[DueFork]:
        return [fork for partition in self._partitions for fork in await self._due_forks(partition)]

    async def _due_forks(self, partition: int) -> list[DueFork]:
        of = self._partitions[partition]
        # The script takes the keys of a stream, and uses those of the partition.
        keys = [of.incarnation, *[of.names] * 6, *of[1:8]]
        _, found = await self._call("due", partition, keys, ())
        return [
            DueFork(SourceHold(*noted.decode().split("\0")), int(due))
            for noted, due in zip(found[::2], found[1::2], strict=True)
        ]

    async def keep_fork(self, fork: DueFork, again: int | None) -> None:
        words = (_noted(fork.hold), fork.due, "" if again is None else again)
        await self._do("keep", fork.hold.source, *words)

    async def restore(self, stream: str, state: State, lost: tuple[int, int] | None) -> bool:
        producers = [
            part
            for name, (epoch, number) in state.producers.items()
            for part in (name, f"{epoch}:{number}")
        ]
        (word,) = await self._do(
            "restore",
            stream,
            self.keys.of(stream).channel,
            stream,
            "" if lost is None else "{}:{}".format(*lost),
            state.epoch,
            len(state.entries),
            len(state.epochs),
            len(state.producers),
            *flat(state.entries),
            *(f"{epoch}:{first}" for epoch, first in state.epochs),
            *producers,
            *hash_of(state),
        )
        return bool(word == b"ok")

    async def heal(self, stream: str, state: State, start: int) -> bool:
        version = f"{state.epoch}:{state.change}"
        entries = [entry for entry in state.entries if entry.first >= start]
        (word,) = await self._do("heal", stream, version, start, len(entries), *flat(entries))
        return bool(word == b"ok")

    # Generations

    async def begin(
        self,
        stream: str,
        generation: str,
        node: str,
        tail: int,
        bodies: Bodies,
        *,
        queue: tuple[str, str] | None = None,
    ) -> Written | None:
        word, *found = await self._do(
            "begin",
            stream,
            self.keys.of(stream).channel,
            generation,
            node,
            tail,
            len(bodies),
            pack(bodies),
            self._max_records,
            *(queue or ("", "")),
        )
        return _begun(stream, word, found)

    async def tick(self, ticks: Sequence[Tick]) -> list[Ticked]:
        keys: list[str] = []
        words: list[str | bytes | int] = [self._max_records]
        for tick in ticks:
            of = self.keys.of(tick.stream)
            keys += (of.meta, of.epochs, of.records, of.forks)
            blob = pack(tick.bodies)
            words += (of.channel, tick.generation, tick.number, len(tick.bodies), blob)
        partition = partition_of(ticks[0].stream)
        incarnation = self._partitions[partition].incarnation
        while True:
            found = await self._call("tick", partition, [incarnation, *keys], words)
            waits = [result[1] for result in found if result[0] == b"settling"]
            if not waits:
                return [parse_ticked(result) for result in found]
            # Those that were written have other numbers by now.
            await asyncio.sleep(max(waits) / 1000)

    async def end(
        self,
        stream: str,
        generation: str,
        bodies: Bodies,
        *,
        number: int | None = None,
        close: bool = False,
        queue: str | None = None,
        hold: bool = False,
    ) -> Ticked:
        found = await self._do(
            "end",
            stream,
            self.keys.of(stream).channel,
            generation,
            "" if number is None else number,
            len(bodies),
            pack(bodies),
            "1" if close else "",
            "-" if queue is None else queue,
            "1" if hold else "",
        )
        return parse_ticked(found)

    async def queue(
        self,
        stream: str,
        version: str,
        bodies: Bodies,
        prompts: tuple[str, str],
        *,
        held: bool = False,
        added: str | None = None,
        dropped: DroppedPrompt | None = None,
    ) -> Written | None:
        if added is not None:
            await self.note_waiting(stream, added)
        began = "" if dropped is None else f"{dropped.epoch}:{dropped.first}:{dropped.first}"
        word, *found = await self._do(
            "queue",
            stream,
            self.keys.of(stream).channel,
            version,
            len(bodies),
            pack(bodies),
            *prompts,
            int(held),
            added or "",
            "" if dropped is None else dropped.generation,
            began,
            self._max_records,
        )
        return _begun(stream, word, found)

    async def cancel(self, stream: str, generation: str) -> str | None:
        word, *found = await self._do("cancel", stream, generation)
        return found[0].decode() if word == b"ok" else None

    # Scripts

    async def _do(self, script: str, stream: str, *words: str | bytes | int) -> list[Reply]:
        """Run a script on a stream, once the incarnation is settled.

        Raises:
            StreamNotFound, Gone: there is no such stream.
            StoreError: as `write`.
        """
        while True:
            found = await self._run(script, stream, *words)
            if found[0] == b"none":
                raise StreamNotFound.named(stream)
            if found[0] == b"gone":
                raise refusals.deleted(stream)
            if found[0] != b"settling":
                if script in ACKNOWLEDGED:
                    await self._safe(stream)
                return found
            await asyncio.sleep(found[1] / 1000)

    async def _safe(self, stream: str) -> None:
        """Return once what was written to a stream is where it is to be."""
        acknowledgements = self._at(self.keys.of(stream).meta).acknowledgements
        if acknowledgements is not None:
            await acknowledgements.safe()

    async def _run(self, script: str, stream: str, *words: str | bytes | int) -> list[Reply]:
        """Run a script on a stream; its reply, whatever it is."""
        partition = partition_of(stream)
        of, shared = self.keys.of(stream), self._partitions[partition]
        keys = [shared.incarnation, *of[:6], *shared[1:8]]
        return await self._call(script, partition, keys, words)


def _noted(hold: SourceHold) -> str:
    """A hold as it is noted until it was looked whether its fork is there."""
    return "\0".join(hold)


def _begun(stream: str, word: bytes, found: list[Reply]) -> Written | None:
    """What came of ``begin`` or ``queue``; ``None`` if the generation had begun already."""
    if word == b"ok":
        return Written(*found)
    if word == b"closed":
        raise StreamClosed.named(stream, str(Position(*found)))
    if word == b"busy":
        raise refusals.busy(stream)
    if word == b"moved":
        raise refusals.moved(stream)
    if word == b"changed":
        raise refusals.requeued(stream)
    return None
