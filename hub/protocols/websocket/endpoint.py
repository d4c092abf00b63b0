"""`GET /v1/ws`: the WebSocket, subprotocol ``hub.v1`` (described in `hub/docs/`).

The handler reads commands, one after another, and answers each; what streams have to say is
written by the fan-out, past this file. Frames are written raw, so the connection is opened
without compression. Origin is checked before the upgrade: CORS does not protect WebSockets
(RFC 6455 section 10.2).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
from aiohttp import WSMsgType, web

from hub.connections.connection import Connection, Pace
from hub.domain.errors import (
    CommandError,
    Conflict,
    HubError,
    RequestError,
    StreamNotFound,
    TooLarge,
)
from hub.domain.events import decode
from hub.domain.generation_request import GenerationRequest
from hub.domain.memory_budget import parsed_size
from hub.domain.outcome import Outcome
from hub.domain.records import Position
from hub.frames.websocket import WEBSOCKET, error_frame, pong_frame, text_frame
from hub.http.admission import PRINCIPAL
from hub.http.errors import CloseCode
from hub.http.origins import Origins
from hub.http.retry_times import moments
from hub.hub import Hub, parse_from
from hub.protocols.durable import json_messages
from hub.protocols.websocket import commands
from hub.protocols.websocket.commands import (
    Append,
    Cancel,
    Command,
    Fork,
    Generate,
    Ping,
    Presence,
    Subscribe,
    Unsubscribe,
)
from hub.streams.history import From

__all__ = ["WebSockets"]

PROTOCOL: Final = "hub.v1"

CLOSE_SECONDS: Final = 1.0
"""How long a client may take to answer a close frame: without an answer it is as closed."""


class WebSockets:
    """The WebSocket endpoint of one hub; ``frame_bytes`` bounds what a client may send."""

    def __init__(self, hub: Hub, *, pace: Pace, frame_bytes: int, origins: Origins) -> None:
        self._hub = hub
        self._pace = pace
        self._frame_bytes = frame_bytes
        self._origins = origins
        self._open: dict[web.WebSocketResponse, _Client] = {}

    def routes(self) -> list[web.RouteDef]:
        """The route, for an application's router."""
        return [web.get("/v1/ws", self._handle, allow_head=False)]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._origins.check(request)
        self._hub.admit()
        _check(request)
        socket = web.WebSocketResponse(
            protocols=(PROTOCOL,),
            compress=False,
            # Pongs wait their turn like every answer, or a client that only pings and never
            # reads would fill its buffer without bound.
            autoping=False,
            # Nor may a frame of a stream follow the close frame that answers the client's.
            autoclose=False,
            timeout=CLOSE_SECONDS,
            # A frame somewhat too large is answered with an error; far beyond, aiohttp closes.
            max_msg_size=self._frame_bytes * 4,
        )
        try:
            writer = await socket.prepare(request)
        except ValueError:  # aiohttp chokes on a header that is no text
            raise RequestError("the handshake of a WebSocket is malformed") from None
        # They are sent; kept, they would be a sixth of what an idle connection costs.
        socket.headers.clear()
        connection = Connection(
            request.protocol,
            writer.drain,
            WEBSOCKET,
            self._pace,
            self._hub.counts,
            by=request[PRINCIPAL],
        )
        client = _Client(self._hub, connection, self._frame_bytes)
        self._hub.connect(connection)
        self._open[socket] = client
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:
                    break  # what was sent broke the rules of WebSocket: aiohttp has closed
                if message.type is WSMsgType.PING:
                    await connection.send(pong_frame(message.data))
                elif message.type is not WSMsgType.PONG:
                    await client.receive(message.type, message.data)
            connection.end()
            await socket.close()
        finally:
            del self._open[socket]
            await self._hub.disconnect(connection)
        return socket

    @property
    def connections(self) -> set[Connection]:
        """Those of the open WebSockets."""
        return {client.connection for client in self._open.values()}

    async def close(self, within: float) -> None:
        """Tell every client that the hub goes away and when to come back; then close.

        It has so many seconds to be answered what it asked, and to read what it has not.
        """
        clients = list(self._open.items())
        waits = moments(len(clients))
        closing = zip(clients, waits, strict=True)
        await asyncio.gather(*(_close(*opened, wait, within) for opened, wait in closing))


async def _close(socket: web.WebSocketResponse, client: _Client, wait: int, within: float) -> None:
    connection = client.connection
    await client.answered(within)
    connection.enqueue(WEBSOCKET.retry(wait))
    if await connection.idle(within=within):
        connection.end()  # nothing may be written after the close frame
        await socket.close(code=CloseCode.DRAINING, message=b"draining")
    else:
        connection.abort()


def _check(request: web.Request) -> None:
    """Refuse what could not be spoken with, before aiohttp does it in words of its own."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise web.HTTPUpgradeRequired(headers={"Upgrade": "websocket"})
    offered = request.headers.get("Sec-WebSocket-Protocol")
    if offered is not None and PROTOCOL not in [name.strip() for name in offered.split(",")]:
        raise RequestError(f"this hub speaks the subprotocol {PROTOCOL}", code="bad_subprotocol")


class _Client:
    """One client: its commands, one after another, and the answer to each."""

    __slots__ = ("_answering", "_frame_bytes", "_hub", "_watcher", "connection")

    def __init__(self, hub: Hub, connection: Connection, frame_bytes: int) -> None:
        self.connection = connection
        self._hub = hub
        self._frame_bytes = frame_bytes
        self._answering = False
        self._watcher: asyncio.Future[None] | None = None

    async def receive(self, kind: WSMsgType, text: Any) -> None:
        """Answer one frame, whatever it holds."""
        self._answering = True
        try:
            await self._receive(kind, text)
        finally:
            self._answering = False
            if self._watcher is not None and not self._watcher.done():
                self._watcher.set_result(None)

    async def answered(self, within: float) -> None:
        """Wait until the command under way is answered, so many seconds at most."""
        if self._answering:
            self._watcher = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._watcher], timeout=within)

    async def _receive(self, kind: WSMsgType, text: Any) -> None:
        try:
            sent = self._check(kind, text)
            with self._hub.allowance.taken(parsed_size(sent)):
                await self._answer(sent)
        except HubError as error:
            await self._refuse(error, getattr(error, "reply_to", None))

    def _check(self, kind: WSMsgType, text: Any) -> bytes:
        if kind is not WSMsgType.TEXT:
            raise CommandError("commands are text frames, not binary ones", code="bad_frame")
        if len(text) > self._frame_bytes or len(sent := text.encode()) > self._frame_bytes:
            said = f"a frame has at most {self._frame_bytes} bytes (limits.frame_bytes)"
            raise TooLarge(said, code="frame_too_large")
        found: bytes = sent
        return found

    async def _answer(self, sent: bytes) -> None:
        command = commands.parse(sent)
        try:
            await self._obey(command)
        except HubError as error:
            await self._refuse(error, command.id)

    async def _obey(self, command: Command) -> None:
        match command:
            case Subscribe():
                await self._subscribe(command)
            case Unsubscribe():
                await self._unsubscribe(command)
            case Append():
                await self._append(command)
            case Fork():
                await self._fork(command)
            case Generate():
                await self._generate(command)
            case Cancel():
                generation = await self._hub.generations.cancel(
                    command.generation, by=self.connection.by
                )
                await self._ok(command, generation=generation.id, state=generation.state.value)
            case Presence():
                await self._presence(command)
            case Ping():
                await self._ok(command)
            case _:
                raise CommandError(
                    f'this hub does not know "{command.type}" yet', code="not_supported"
                )

    async def _subscribe(self, command: Subscribe) -> None:
        start = parse_from(command.start)
        self.connection.admit(command.stream)
        try:
            stream = await self._hub.streams.open(command.stream, by=self.connection.by)
        except StreamNotFound:
            if not command.wait:
                raise
            await self._wait(command, start)
            return
        stream.expect_events()
        place = stream.place(start)
        # The answer comes before the first events; the place waits for nobody.
        position, tail = str(stream.position_at(place.offset)), str(stream.position)
        await self._ok(command, stream=stream.name, position=position, tail=tail)
        self.connection.subscribe(stream, place)

    async def _wait(self, command: Subscribe, start: From) -> None:
        await self._ok(command, stream=command.stream, position=None, tail=None)
        # It may have begun while the answer had to wait.
        await self._hub.streams.expect(
            self.connection, command.stream, start, by=self.connection.by
        )

    async def _presence(self, command: Presence) -> None:
        streams, by, member = self._hub.streams, self.connection.by, None
        label = command.member or ""
        if not self.connection.follows(command.stream):
            raise _not_followed()
        if command.state == "null":
            streams.leave(self.connection, command.stream, label, by=by)
        else:
            state = commands.encoded(command.state, streams.state_bytes)
            member = streams.enter(self.connection, command.stream, label, state, by=by)
        await self._ok(command, stream=command.stream, member=member)

    async def _unsubscribe(self, command: Unsubscribe) -> None:
        if not self.connection.unsubscribe(command.stream):
            raise _not_followed()
        await self._ok(command, stream=command.stream)

    async def _append(self, command: Append) -> None:
        body = json_messages.one(command.event, "the event")
        outcome = await self._hub.streams.append_to(
            command.stream, decode(body), body, by=self.connection.by
        )
        await self._written(command, command.stream, outcome)

    async def _fork(self, command: Fork) -> None:
        at = None if command.position is None else Position.parse(command.position)
        outcome = await self._hub.streams.fork(
            command.stream, command.source, at, by=self.connection.by
        )
        await self._written(command, command.stream, outcome)

    async def _written(self, command: Command, stream: str, outcome: Outcome) -> None:
        await self._hub.streams.committed(stream)
        await self._ok(command, stream=stream, position=str(outcome.position))

    async def _generate(self, command: Generate) -> None:
        # Not `model_dump`, which copies all that the messages hold.
        fields = {name: value for name, value in command if name not in ("id", "type")}
        generation = await self._hub.generations.start(
            GenerationRequest(**fields), by=self.connection.by
        )
        await self._ok(
            command,
            generation=generation.id,
            stream=generation.stream,
            position=str(generation.position),
        )

    async def _ok(self, command: Command, **fields: Any) -> None:
        named = {} if command.id is None else {"id": command.id}
        await self.connection.send(_frame("ok", **named, **fields))

    async def _refuse(self, error: HubError, reply_to: str | int | None) -> None:
        named = {} if reply_to is None else {"id": reply_to}
        await self.connection.send(error_frame(error, **named))


def _not_followed() -> Conflict:
    return Conflict("this connection does not follow that stream", code="not_subscribed")


def _frame(kind: str, **fields: Any) -> bytes:
    return text_frame(orjson.dumps({"type": kind, **fields}))
