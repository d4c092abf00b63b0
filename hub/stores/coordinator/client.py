"""A hub's connection to the coordinator: what is asked of one iteration of the loop is one write.

It is used until it is lost, and never again; see `hub.stores.shared.SharedEngine`. One callback
reads all that comes, so answers and changes are taken in the order in which they were sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hub.domain import defaults
from hub.domain.errors import StoreError
from hub.domain.producers import Stamp
from hub.domain.records import Position
from hub.domain.stream_settings import StreamSettings
from hub.http.private_sockets import address
from hub.stores import GenerationLocation, Listed
from hub.stores.coordinator.codec import (
    TOPIC,
    VERSION,
    Damaged,
    Message,
    Parser,
    bodies_of,
    encode,
    entries_from,
    entries_words,
    error_from,
    notice_from,
    settings_from,
    settings_words,
    state_from,
    state_words,
    ticked_from,
    written_from,
)
from hub.stores.shared import (
    Bodies,
    Claim,
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
from hub.stores.silence import sign_of_life

__all__ = ["CoordinatorEngine", "unavailable"]

log = logging.getLogger("hub.store")

CONNECT_SECONDS: Final = 5.0

UNDER_WAY: Final = 10_000
"""What may wait for an answer at a time."""

UNREAD_BYTES: Final = 64 * 1024 * 1024
"""What the coordinator may leave unread until nothing more is asked."""

ANSWER_SECONDS: Final = 10.0
"""After which it is not waited for any longer; it may be done all the same."""

BEAT_SECONDS: Final = 1.0
SILENCE_SECONDS: Final = 3.0
"""How often the coordinator is asked whether it lives, and how long it may take to answer."""


def unavailable(why: object) -> StoreError:
    """The error of whatever needs a coordinator that cannot be reached, or does not answer."""
    return StoreError(
        f"the coordinator cannot be used at the moment: {why}", code="store_unavailable"
    )


class _Socket(asyncio.Protocol):
    """Gives all that comes to ``take``, and tells ``lose`` when there is no more."""

    def __init__(
        self, take: Callable[[Message], None], lose: Callable[[StoreError], StoreError]
    ) -> None:
        self._take = take
        self._lose = lose
        self._parser = Parser()

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._parser.feed(data):
                self._take(message)
        except Exception:
            # A connection that nobody reads would look like one on which nothing happens.
            log.exception("the connection to the coordinator failed")
            self._lose(unavailable("the hub failed: see its log"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(unavailable("it has ended the connection" if exc is None else exc))


class CoordinatorEngine:
    """The coordinator that listens at ``path``."""

    sentinels: Final = None

    def __init__(
        self,
        path: Path,
        *,
        known: Mapping[int, int] | None = None,
        settle_seconds: float = defaults.SETTLE,
        max_records: int = defaults.MAX_RECORDS,
        max_producers: int = defaults.MAX_PRODUCERS,
    ) -> None:
        """``known`` is the highest incarnation that was seen."""
        self._path = path
        self._known = dict(known or {}).get(0, 0)
        self._limits = (settle_seconds, max_records, max_producers)
        self._incarnation: int | None = None
        self._transport: asyncio.Transport | None = None
        self._awaited: dict[int, tuple[asyncio.Future[Message], float]] = {}
        """Who waits for an answer, and until when, the first one first."""
        self._last = 0
        self._out: list[bytes] = []
        self._heard: dict[str, Callable[[Notice | None], None]] = {}
        self._topics: dict[str, Callable[[bytes], None]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[StoreError] = self._loop.create_future()
        """Why it can no longer be used, once it cannot."""

    @property
    def incarnations(self) -> dict[int, int]:
        return {} if self._incarnation is None else {0: self._incarnation}

    def partition(self, stream: str) -> int:
        return 0

    def incarnation(self, stream: str) -> int:
        return self._incarnation or 0

    async def open(self) -> None:
        """Connect.

        Raises:
            StoreError: ``store_unavailable``: there is no coordinator, or it has no use for us now.
        """
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                with address(self._path) as where:
                    self._transport, _ = await self._loop.create_unix_connection(
                        lambda: _Socket(self._take, self._lose), where
                    )
                (self._incarnation,) = await self.ask("hello", VERSION, self._known, *self._limits)
        except TimeoutError:
            await self.close()
            raise unavailable("it does not answer") from None
        except OSError as error:
            await self.close()
            raise unavailable(error.strerror or error) from None
        except BaseException:
            await self.close()
            raise
        self._watch = asyncio.create_task(self._listen())

    async def close(self) -> None:
        self._lose(unavailable("the connection was closed"))
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])

    def _lose(self, why: StoreError) -> StoreError:
        if not self.lost.done():
            self.lost.set_result(why)
            awaited, self._awaited = self._awaited, {}
            for answer, _ in awaited.values():
                _fail(answer, why)
        if self._transport is not None:
            self._transport.abort()
        return why

    async def _listen(self) -> None:
        """Give the coordinator up once it is silent, and what it does not answer before."""
        while not self.lost.done():
            try:
                await sign_of_life(self.ask("beat"), within=SILENCE_SECONDS)
            except TimeoutError:
                self._lose(unavailable("it is silent"))
            except StoreError:
                pass  # it is lost, or has too much to do: then others wait, too
            now = self._loop.time()
            late = [id_ for id_, (_, end) in self._awaited.items() if end < now]
            for id_ in late:
                answer, _ = self._awaited.pop(id_)
                said = "the coordinator has not confirmed the write"
                _fail(answer, StoreError(said, code="store_slow"))
            await asyncio.sleep(BEAT_SECONDS)

    # Asking

    def _ask(self, operation: str, words: Sequence[Any], bodies: Bodies) -> asyncio.Future[Message]:
        if self.lost.done():
            raise self.lost.result()
        if self._transport is None:
            raise unavailable("it is not open yet")
        if (
            len(self._awaited) >= UNDER_WAY
            or self._transport.get_write_buffer_size() > UNREAD_BYTES
        ):
            said = "the coordinator is too slow for what is asked of it"
            raise StoreError(said, code="store_slow")
        return self._send(operation, words, bodies)

    def _send(
        self, operation: str, words: Sequence[Any], bodies: Bodies
    ) -> asyncio.Future[Message]:
        self._last += 1
        answer: asyncio.Future[Message] = self._loop.create_future()
        self._awaited[self._last] = answer, self._loop.time() + ANSWER_SECONDS
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(encode((self._last, operation, *words), bodies))
        return answer

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and not self.lost.done():
            self._transport.write(b"".join(out))

    async def ask_all(self, operation: str, *words: Any, bodies: Bodies = ()) -> Message:
        """Ask, again once what was lost is put back; the answer's words without its number.

        Raises:
            HubError: the answer; a `StoreError` also if there is none.
        """
        while True:
            message = await self._ask(operation, words, bodies)
            _, said, *found = message.words
            if said == "ok":
                return Message(found, message.blob)
            if said == "no":
                raise error_from(found)
            await asyncio.sleep(found[0] / 1000)

    async def ask(self, operation: str, *words: Any, bodies: Bodies = ()) -> list[Any]:
        """As `ask_all`, the words alone."""
        return (await self.ask_all(operation, *words, bodies=bodies)).words

    def _take(self, message: Message) -> None:
        if self.lost.done():
            return
        words = message.words
        if words[0]:
            answer, _ = self._awaited.pop(words[0], (None, 0.0))
            if answer is not None and not answer.done():
                answer.set_result(message)
        elif len(words) == 2:
            said = self._topics.get(words[1])
            if said is not None:
                said(message.bodies[0])
        else:
            heard = self._heard.get(words[1])
            if heard is not None:
                try:
                    _, notice = notice_from(message)
                except Damaged:
                    heard(None)
                else:
                    heard(notice)

    # Changes and messages

    async def subscribe(self, stream: str, heard: Callable[[Notice | None], None]) -> None:
        self._heard[stream] = heard
        await self.ask("listen", stream)

    def unsubscribe(self, stream: str) -> None:
        if self._heard.pop(stream, None) is not None and not self.lost.done():
            # However much is under way: what is not wanted any more must not come for ever.
            self._send("ignore", (stream,), ()).add_done_callback(_ignore)

    async def caught_up(self) -> None:
        # Changes are sent before answers that come after them.
        await self.ask("beat")

    async def hear(self, topic: str, heard: Callable[[bytes], None]) -> None:
        self._topics[TOPIC + topic] = or_log(topic, heard)
        await self.ask("listen", TOPIC + topic)

    def ignore(self, topic: str) -> None:
        if self._topics.pop(TOPIC + topic, None) is not None and not self.lost.done():
            self._send("ignore", (TOPIC + topic,), ()).add_done_callback(_ignore)

    async def say(self, topic: str, message: bytes, *, keep: int = 0) -> None:
        await self.ask("say", TOPIC + topic, keep, bodies=[message])

    async def said(self, topic: str) -> list[bytes]:
        return (await self.ask_all("said", TOPIC + topic)).bodies

    # Streams

    async def find(self, stream: str, limit: int) -> State | None:
        found = await self.ask_all("find", stream, limit)
        return None if found.words[0] is None else state_from(found.words[0], found.bodies)

    async def load(self, stream: str, limit: int) -> State:
        found = await self.ask_all("load", stream, limit)
        return state_from(found.words[0], found.bodies)

    async def read(self, stream: str, offset: int, limit: int) -> list[Entry]:
        found = await self.ask_all("read", stream, offset, limit)
        return entries_from(found.words[0], found.bodies)

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
        words = (stream, settings_words(settings), close, expires, head, list(epochs))
        written, before = await self.ask("create", *words, bodies=bodies)
        return written_from(written), None if before is None else settings_from(before)

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
        words = (stream, stamp, sequence, close, born)
        (written,) = await self.ask("write", *words, bodies=bodies)
        return written_from(written)

    async def delete(self, stream: str, *, born: int | None = None) -> SourceHold | None:
        (source,) = await self.ask("delete", stream, born)
        return None if source is None else SourceHold(*source)

    async def touch(self, stream: str) -> Written:
        (written,) = await self.ask("touch", stream)
        return written_from(written)

    async def set_owner(self, stream: str, owner: str | None) -> Written:
        (written,) = await self.ask("set_owner", stream, owner)
        return written_from(written)

    async def listed(
        self, prefix: str, after: str, limit: int, owner: str | None = None
    ) -> list[Listed]:
        (found,) = await self.ask("listed", prefix, after, limit, owner)
        return [
            Listed(name, content_type, Position(epoch, tail), closed, its, running)
            for name, content_type, epoch, tail, closed, its, running in found
        ]

    async def hold(self, hold: SourceHold, offset: int) -> bool:
        (held,) = await self.ask("hold", *hold, offset)
        return bool(held)

    async def release(self, hold: SourceHold, *, due: int | None = None) -> SourceHold | None:
        (its,) = await self.ask("release", *hold)
        return None if its is None else SourceHold(*its)

    async def due_forks(self) -> list[DueFork]:
        """The coordinator looks for them itself."""
        return []

    async def keep_fork(self, fork: DueFork, again: int | None) -> None:
        """See `due_forks`."""

    async def restore(self, stream: str, state: State, lost: tuple[int, int] | None) -> bool:
        words = (stream, state_words(state), lost)
        (done,) = await self.ask("restore", *words, bodies=bodies_of(state.entries))
        return bool(done)

    async def heal(self, stream: str, state: State, start: int) -> bool:
        entries = [entry for entry in state.entries if entry.first >= start]
        words = (stream, (state.epoch, state.change), entries_words(entries))
        (done,) = await self.ask("heal", *words, bodies=bodies_of(entries))
        return bool(done)

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
        (written,) = await self.ask("begin", stream, generation, node, tail, queue, bodies=bodies)
        return None if written is None else written_from(written)

    async def tick(self, ticks: Sequence[Tick]) -> list[Ticked]:
        words = [(tick.stream, tick.generation, tick.number, len(tick.bodies)) for tick in ticks]
        bodies = [body for tick in ticks for body in tick.bodies]
        (found,) = await self.ask("tick", words, bodies=bodies)
        return [ticked_from(one) for one in found]

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
        words = (stream, generation, number, close, queue, hold)
        (found,) = await self.ask("end", *words, bodies=bodies)
        return ticked_from(found)

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
        words = (stream, version, prompts, held, added, dropped)
        (written,) = await self.ask("queue", *words, bodies=bodies)
        return None if written is None else written_from(written)

    async def waiting_in(self, generation: str) -> str | None:
        (stream,) = await self.ask("waiting_in", generation)
        return _text(stream)

    async def note_waiting(self, stream: str, generation: str) -> None:
        """The coordinator finds it in the stream's queue."""

    async def cancel(self, stream: str, generation: str) -> str | None:
        (node,) = await self.ask("cancel", stream, generation)
        return _text(node)

    # Nodes

    async def renew(self, node: str, seconds: float) -> list[str]:
        (over,) = await self.ask("renew", node, seconds)
        return [str(other) for other in over]

    async def nodes(self) -> list[str]:
        (found,) = await self.ask("nodes")
        return list(found)

    async def forget(self, node: str) -> bool:
        (done,) = await self.ask("forget", node)
        return bool(done)

    async def enlist(self, node: str, stream: str, generation: str) -> None:
        await self.ask("enlist", node, stream, generation)

    async def locate(self, generation: str) -> GenerationLocation | None:
        (found,) = await self.ask("locate", generation)
        if found is None:
            return None
        stream, position, started, ended = found
        return GenerationLocation(stream, Position(*position), started, ended)

    async def strike(self, node: str, stream: str, generation: str) -> None:
        await self.ask("strike", node, stream, generation)

    async def runs(self, node: str) -> list[tuple[str, str]]:
        (found,) = await self.ask("runs", node)
        return [(stream, generation) for stream, generation in found]

    async def claimed(self, key: str) -> Claim | None:
        (found,) = await self.ask("claimed", key)
        return None if found is None else _claim(found)

    async def claim(self, key: str, claim: Claim, seconds: float) -> Claim:
        said = (claim.fingerprint.hex(), claim.stream, claim.born, seconds)
        (found,) = await self.ask("claim", key, *said)
        return _claim(found)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _claim(words: Sequence[Any]) -> Claim:
    fingerprint, stream, born = words
    return Claim(bytes.fromhex(fingerprint), stream, born)


def _fail(answer: asyncio.Future[Message], why: StoreError) -> None:
    if not answer.done():
        answer.set_exception(why)
        answer.exception()  # perhaps nobody waits for it


def _ignore(answer: asyncio.Future[Message]) -> None:
    if not answer.cancelled():
        answer.exception()
