"""The coordinator's socket: hubs ask, are answered, and hear of changes.

What is asked of streams in memory is done in the step in which it arrives; the rest has a task.
Answers and changes are sent once the store has committed them, in their order. Nobody waits for a
hub: what it does not read is kept up to a limit, then its connection is cut, and it comes back and
compares.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from hub.domain.errors import HubError, StoreError
from hub.http.private_sockets import listen_privately
from hub.owned_tasks import OwnedTasks
from hub.stores.coordinator.changes import Limits, Settling
from hub.stores.coordinator.codec import (
    TOPIC,
    VERSION,
    Damaged,
    Message,
    Parser,
    encode,
    error_words,
)
from hub.stores.coordinator.operations import ALONE, AT_ONCE, LATER, Answer, Asked, names_in
from hub.stores.coordinator.sequencer import Sequencer
from hub.stores.sequenced import SequencedStore
from hub.stores.shared import Bodies, node_topic

__all__ = ["Coordinator"]

log = logging.getLogger("hub.store")

UNREAD_BYTES: Final = 64 * 1024 * 1024
"""What a hub may leave unread until its connection is cut."""

WRITTEN_BYTES: Final = 1024 * 1024
"""What may be unread while more is looked for in the file for this hub."""

ASKED_BYTES: Final = 64 * 1024 * 1024
ASKED: Final = 20_000
"""What may be under way of one hub until no more is read from it."""

READS: Final = 8
"""How much is looked for in the file for one hub at a time."""

SWEEP_SECONDS: Final = 1.0

LEAVING_SECONDS: Final = 1.0
"""How long hubs may take to read the last answers of a coordinator that stops."""


class _Connection(asyncio.Protocol):
    """One hub."""

    def __init__(self, server: Coordinator) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = Parser()
        self._out: list[bytes] = []
        self._writable = asyncio.Event()
        self._writable.set()
        self._asked = self._asked_bytes = 0
        self.limits: Limits | None = None
        """What the hub has said of itself; ``None`` before that."""
        self.heard: set[str] = set()
        """The streams and topics that it listens to."""
        self.reads = asyncio.Semaphore(READS)
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITTEN_BYTES)
        self._server.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._writable.set()
        for task in self.tasks:
            task.cancel()
        self._server.disconnected(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def writable(self) -> None:
        """Wait until the hub has read most of what it was sent."""
        await self._writable.wait()

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._parser.feed(data)
        except Damaged as error:
            log.error("a hub says what nobody understands: %s", error)
            self.cut()
            return
        for message in messages:
            self._count(1, len(message.blob))
            try:
                self._server.take(self, message)
            except Exception:
                log.exception("a hub says what nobody understands")
                self.cut()
                return

    def _count(self, asked: int, size: int) -> None:
        self._asked += asked
        self._asked_bytes += size
        if self._transport is not None:
            full = self._asked > ASKED or self._asked_bytes > ASKED_BYTES
            if full and self._transport.is_reading():
                self._transport.pause_reading()
            elif not full and not self._transport.is_reading():
                self._transport.resume_reading()

    def own(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something for as long as the hub is there."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a hub says what nobody understands", exc_info=error)
            self.cut()

    def answer(self, answer: bytes, size: int) -> None:
        """Answer something of which ``size`` bytes of bodies were asked."""
        self._count(-1, -size)
        self.send(answer)

    def send(self, message: bytes) -> None:
        """Send a message with all others of this step."""
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(message)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(b"".join(out))
        if self._transport.get_write_buffer_size() > UNREAD_BYTES:
            log.warning("a hub reads nothing: it is cut off and has to come back")
            self.cut()

    def finish(self) -> None:
        """End the connection once all was read that was sent."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def cut(self) -> None:
        """End the connection without waiting for the hub."""
        if self._transport is not None:
            self._transport.abort()


class Coordinator:
    """Listens at ``path`` and decides over a store; `start` it first and `stop` it in the end."""

    def __init__(self, store: SequencedStore, path: Path) -> None:
        self._store = store
        self._path = path
        self._sequencer = Sequencer(store)
        self._sequencer.nodes.connected = lambda node: TOPIC + node_topic(node) in self._listeners
        self._connections: set[_Connection] = set()
        self._listeners: dict[str, set[_Connection]] = {}
        """Who listens to a stream, or to a topic (`TOPIC`)."""
        self._said: dict[str, deque[bytes]] = {}
        """The last messages of topics of which some are kept, for as long as this runs."""
        self._server: asyncio.Server | None = None
        self._tasks = OwnedTasks("a task of the coordinator", log)
        self._beginning: asyncio.Task[None] | None = None
        """Begins another incarnation; until then nobody is let in."""

    async def start(self) -> None:
        """Open the store and listen.

        Raises:
            StoreError: the store cannot be used, or it is not possible to listen.
        """
        await self._sequencer.start()
        try:
            listening = listen_privately(self._path)
        except OSError as error:
            await self._store.stop()
            why = error.strerror or error
            raise StoreError(f"cannot listen on {self._path}: {why}") from None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Connection(self), sock=listening)
        self._tasks.start(self._sweep())

    async def stop(self) -> None:
        """End all connections, write what is left, and release everything."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with suppress(OSError):
                self._path.unlink()
        tasks = [task for one in self._connections for task in one.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._tasks.stop()
        # What was asked is answered once it is committed, if the hubs still listen.
        await self._store.stop()
        for connection in list(self._connections):
            connection.finish()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVING_SECONDS):
                while self._connections:  # noqa: ASYNC110 - the last answers are on their way
                    await asyncio.sleep(0.01)
        for connection in list(self._connections):
            connection.cut()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self._sequencer.sweep()
            except StoreError as error:
                log.warning("expired streams stay for now: %s", error)
            except Exception:
                log.exception("streams that expired cannot be removed")
            told = self._sequencer.told()
            if told:
                self._store.after(partial(self._deliver, told))

    # Connections

    def connected(self, connection: _Connection) -> None:
        self._connections.add(connection)

    def disconnected(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        for name in list(connection.heard):
            self.forget(connection, name)

    def listen(self, connection: _Connection, name: str) -> None:
        connection.heard.add(name)
        self._listeners.setdefault(name, set()).add(connection)

    def forget(self, connection: _Connection, name: str) -> None:
        connection.heard.discard(name)
        listeners = self._listeners.get(name)
        if listeners is not None:
            listeners.discard(connection)
            if not listeners:
                del self._listeners[name]

    def _publish(self, name: str, message: bytes) -> None:
        for connection in self._listeners.get(name, ()):
            connection.send(message)

    def _begin_incarnation(self, above: int = 0) -> asyncio.Task[None]:
        """Cut all hubs off; they come back to another incarnation."""
        if self._beginning is None:
            for connection in list(self._connections):
                connection.cut()
            self._beginning = self._tasks.start(self._begun(above))
        return self._beginning

    async def _begun(self, above: int) -> None:
        try:
            await self._sequencer.begin_incarnation(above)
        except StoreError as error:
            log.error("hubs have to wait: %s", error)
        finally:
            self._beginning = None

    # What hubs ask

    def take(self, connection: _Connection, message: Message) -> None:
        """Do what a hub asks, or begin to."""
        id_, operation, *words = message.words
        reply = _Reply(connection, id_, len(message.blob))
        if connection.limits is None:
            self._greet(reply, operation, words)
            return
        asked = Asked(connection.limits, words, message.blob)
        do = AT_ONCE.get(operation)
        if do is not None:
            names = names_in(operation, asked)
            held = [self._sequencer.loaded(name) for name in names]
            if None in held:
                connection.own(self._open(reply, operation, asked, names))
            else:
                self._do(reply, names, partial(do, self._sequencer, asked, *held))
        elif operation in LATER:
            connection.own(self._later(reply, LATER[operation], asked, words[:1]))
        elif operation in ALONE:
            connection.own(self._later(reply, ALONE[operation], asked, ()))
        else:
            self._on_connection(reply, operation, asked)

    def _greet(self, reply: _Reply, operation: str, words: Sequence[Any]) -> None:
        """Let a hub in, if there is use for it now."""
        version, known, *limits = words if operation == "hello" else (0, 0)
        if version != VERSION:
            said = "the coordinator is another release of the hub: restart all of it"
            reply.refuse(StoreError(said))
            return
        if known > self._sequencer.incarnation:
            self._begin_incarnation(known)
            return  # this one is cut off, too
        if self._beginning is not None:
            reply.connection.cut()
            return
        self._sequencer.greet(known)
        reply.connection.limits = Limits(*limits)
        reply.send((self._sequencer.incarnation,), ())

    def _on_connection(self, reply: _Reply, operation: str, asked: Asked) -> None:
        """What is only of this connection, or passes through."""
        connection, words = reply.connection, asked.words
        if operation == "listen":
            self.listen(connection, words[0])
        elif operation == "ignore":
            self.forget(connection, words[0])
        elif operation == "say":
            topic, keep = words
            if keep:
                self._said.setdefault(topic, deque(maxlen=keep)).extendleft(asked.bodies)
            self._publish(topic, encode((0, topic), asked.bodies))
        elif operation == "said":
            reply.send((), tuple(self._said.get(words[0], ())))
            return
        elif operation != "beat":
            log.error("a hub asks for what nobody knows: %s", operation)
            connection.cut()
            return
        reply.send((), ())

    async def _open(
        self, reply: _Reply, operation: str, asked: Asked, names: Sequence[str]
    ) -> None:
        """Load the streams of an operation, and do it."""
        try:
            for name in names:
                await self._sequencer.open(name)
        except HubError as error:
            reply.refuse(error)
            return
        held = [self._sequencer.loaded(name) for name in names]
        self._do(reply, names, partial(AT_ONCE[operation], self._sequencer, asked, *held))

    async def _later(
        self,
        reply: _Reply,
        do: Callable[[Sequencer, Asked], Awaitable[Answer]],
        asked: Asked,
        names: Sequence[str],
    ) -> None:
        """Do what waits for the store."""
        async with reply.connection.reads:
            await reply.connection.writable()
            try:
                answer = await do(self._sequencer, asked)
            except (Settling, HubError) as refused:
                self._answer(reply, names, refused)
            except Exception:
                self._fail(reply)
            else:
                self._answer(reply, names, answer)

    def _do(self, reply: _Reply, names: Sequence[str], do: Callable[[], Answer]) -> None:
        """Do something in this step."""
        try:
            answer = do()
        except (Settling, HubError) as refused:
            self._answer(reply, names, refused)
        except Exception:
            self._fail(reply)
        else:
            self._answer(reply, names, answer)

    def _fail(self, reply: _Reply) -> None:
        """Begin again with what the store has: what is in memory may be half done."""
        log.exception("the coordinator failed")
        reply.refuse(StoreError("the coordinator failed: see its log"))
        self._begin_incarnation()

    def _answer(
        self, reply: _Reply, names: Sequence[str], answer: Answer | Settling | HubError
    ) -> None:
        """Answer, and tell what was changed, once that is committed."""
        told = self._sequencer.told()
        deliver = partial(self._deliver, told, partial(reply.give, answer))
        # What was found of a stream may not be committed yet; that nothing can be, is true at once.
        waits = not isinstance(answer, StoreError) and any(map(self._store.pending, names))
        if told or waits:
            self._store.after(deliver)
        else:
            deliver()

    def _deliver(
        self, told: Sequence[tuple[str, bytes]], answer: Callable[[], None] | None = None
    ) -> None:
        if self._store.rejected:
            # Something that was asked cannot be kept, perhaps this.
            self._begin_incarnation()
            return
        for name, message in told:
            self._publish(name, message)
        if answer is not None:
            answer()


class _Reply:
    """Who is to be answered, and what."""

    __slots__ = ("_id", "_size", "connection")

    def __init__(self, connection: _Connection, id_: int, size: int) -> None:
        self.connection = connection
        self._id = id_
        self._size = size

    def give(self, answer: Answer | Settling | HubError) -> None:
        if isinstance(answer, Answer):
            self.send(answer.words, answer.bodies)
        elif isinstance(answer, Settling):
            message = encode((self._id, "settling", answer.milliseconds))
            self.connection.answer(message, self._size)
        else:
            self.refuse(answer)

    def send(self, words: Sequence[Any], bodies: Bodies) -> None:
        self.connection.answer(encode((self._id, "ok", *words), bodies), self._size)

    def refuse(self, error: HubError) -> None:
        message = encode((self._id, "no", *error_words(error)))
        self.connection.answer(message, self._size)
