"""`GET /v1/ws`: the WebSocket, subprotocol ``hub.v1`` (described in `hub/docs/`).

The handler reads commands one after another and replies to each. The events of streams do not
pass through here: the fan-out writes them. It writes raw frames, so the connection is opened
without compression. Origin is checked before the upgrade: CORS does not protect WebSockets
(RFC 6455 section 10.2).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from aiohttp import WSMessage, WSMsgType, web

from hub.auth.gate import Gate, address_of
from hub.connections.connection import Connection, Pace
from hub.domain.errors import (
    CommandError,
    Conflict,
    Forbidden,
    HubError,
    RateLimited,
    RequestError,
    StreamNotFound,
    TooLarge,
    Unauthorized,
)
from hub.domain.events import decode
from hub.domain.generation_request import GenerationRequest
from hub.domain.memory_budget import request_size
from hub.domain.outcome import Outcome
from hub.domain.principal import Principal
from hub.domain.records import Position
from hub.domain.token_bucket import TokenBucket
from hub.frames.messages import error_message
from hub.frames.websocket import WEBSOCKET, pong_frame
from hub.http.admission import PRINCIPAL
from hub.http.errors import CloseCode
from hub.http.origins import Origins
from hub.http.retry_times import moments
from hub.hub import Hub
from hub.protocols.durable import json_messages
from hub.protocols.standing import hand_over, stand_open
from hub.protocols.subscribing import subscribe
from hub.protocols.websocket import commands
from hub.protocols.websocket.commands import (
    Append,
    Auth,
    Cancel,
    Command,
    Fork,
    Generate,
    Ping,
    Presence,
    Requeue,
    Subscribe,
    Unsubscribe,
)
from hub.protocols.websocket.incoming import Incoming

__all__ = ["WebSockets"]

PROTOCOL: Final = "hub.v1"

EXPIRED_SECONDS: Final = 25.0
"""How long a connection goes on after its credential has expired, until a new one comes."""

DAY: Final = 86_400.0
"""The longest timer; a credential may last for years."""

EARLY_FRAMES: Final = 20.0
"""Frames that a connection may send at once before it has shown a credential."""

EARLY_BYTES: Final = 32_768
"""The largest of them, more than any credential needs."""

TOO_LARGE: Final = 4
"""A message of more than so many times what it may have closes the connection."""

PINGS: Final = 1_000.0
"""Pings of the protocol that a connection may send at once where there is no authentication."""
PINGS_SAVED: Final = 50.0
"""Of these it gets back in a second; more are answered later. Commands may come at any pace there:
whoever publishes may do so as fast as the hub can."""

BAD_FRAMES: Final = 128.0
"""Frames without a command that a connection may send at once; a large one counts for several."""
FORGIVEN: Final = 1.0
"""Of these are forgotten in a second."""
BAD_BYTES: Final = 8192
"""To find out that a frame is no command costs as much as so many bytes of it; it counts once more
for each of these."""

CLOSE_SECONDS: Final = 1.0
"""How long a client may take to answer a close frame before its socket is closed."""


class WebSockets:
    """The WebSocket endpoint of one hub.

    ``frame_bytes`` is the most that a client may send at once, within ``frame_seconds``.
    """

    def __init__(
        self,
        hub: Hub,
        gate: Gate | None,
        *,
        pace: Pace,
        frame_bytes: int,
        frame_seconds: float,
        origins: Origins,
    ) -> None:
        self._hub = hub
        self._gate = gate
        self._closing: set[asyncio.Task[None]] = set()
        self._pace = pace
        self._frame_bytes = frame_bytes
        self._frame_seconds = frame_seconds
        self._origins = origins
        self._open: dict[web.WebSocketResponse, _Client] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/ws", self._handle, allow_head=False)]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._origins.check(request)
        by = request[PRINCIPAL]
        if self._gate is None or not self._gate.takes_tokens or by.credential is not None:
            self._hub.permissions.check_any(by)  # else a credential may still come
        stand_open(self._hub, request)
        _check(request)
        socket = web.WebSocketResponse(
            protocols=(PROTOCOL,),
            compress=False,
            # Pongs wait in line like every reply. Otherwise a client that only pings and never
            # reads would fill its buffer without bound.
            autoping=False,
            # No frame of a stream may follow the close frame that answers the client's.
            autoclose=False,
            timeout=CLOSE_SECONDS,
            # A frame that is a bit too large gets an error; far beyond, aiohttp closes.
            max_msg_size=self._frame_bytes * TOO_LARGE,
        )
        try:
            writer = await socket.prepare(request)
        except ValueError:  # aiohttp fails at a header that is not text
            raise RequestError("the handshake of the WebSocket is malformed") from None
        # They have been sent, and would be a sixth of the memory of an idle connection.
        socket.headers.clear()
        connection = Connection(
            request.protocol,
            writer.drain,
            WEBSOCKET,
            self._pace,
            self._hub.counts,
            by=by,
        )
        gate = self._gate
        end = partial(self._end, socket)
        auth = None if gate is None else _Authentication(self._hub, gate, request, end)
        client = _Client(self._hub, connection, self._frame_bytes, auth)
        incoming = Incoming(
            self._hub.allowance,
            lambda: connection.by,
            connection.abort,
            early=EARLY_BYTES * TOO_LARGE,
            seconds=self._frame_seconds,
        )
        self._hub.connect(connection)
        self._open[socket] = client
        if auth is not None:
            auth.watch(by)
        incoming.listen(request.protocol)
        try:
            async for message in socket:
                incoming.came(message)
                if message.type is WSMsgType.ERROR:
                    break  # the client violated the protocol: aiohttp has closed
                if wait := client.pace(message):
                    await asyncio.sleep(wait)
                    if connection.ended:
                        break
                if message.type is WSMsgType.PING:
                    await connection.send(pong_frame(message.data))
                elif message.type is not WSMsgType.PONG:
                    await client.receive(message.type, message.data)
                    if client.refused is not None:
                        await _farewell(socket, connection, client.refused, CLOSE_SECONDS)
                incoming.answering = False
            connection.end()
            await socket.close()
        finally:
            del self._open[socket]
            incoming.end()
            if auth is not None:
                auth.end()
            await self._hub.disconnect(connection)
        return socket

    def _end(self, socket: web.WebSocketResponse, code: CloseCode) -> None:
        """Close a connection whose principal has run out of time."""
        client = self._open.get(socket)
        if client is not None:
            closing = asyncio.create_task(
                _farewell(socket, client.connection, code, CLOSE_SECONDS), name="close"
            )
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    @property
    def connections(self) -> set[Connection]:
        return {client.connection for client in self._open.values()}

    async def close(self, within: float) -> None:
        """Tell every client that the hub shuts down and when to reconnect; then close.

        A client has ``within`` seconds for the reply to its command, and to read the rest.
        """
        clients = list(self._open.items())
        waits = moments(len(clients))
        await asyncio.gather(
            *(_close(*client, wait, within) for client, wait in zip(clients, waits, strict=True)),
            *self._closing,
        )


async def _close(socket: web.WebSocketResponse, client: _Client, wait: int, within: float) -> None:
    connection = client.connection
    await client.replied(within)
    connection.enqueue(WEBSOCKET.retry(wait))
    await _farewell(socket, connection, CloseCode.DRAINING, within)


async def _farewell(
    socket: web.WebSocketResponse, connection: Connection, code: CloseCode, within: float
) -> None:
    """Close a connection once everything is written, or cut it off after ``within`` seconds."""
    if await connection.idle(within=within):
        connection.end()  # nothing may be written after the close frame
        await socket.close(code=code, message=code.name.lower().encode())
    else:
        connection.abort()


def _check(request: web.Request) -> None:
    """Refuse other protocols, before aiohttp does so with its own messages."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise web.HTTPUpgradeRequired(headers={"Upgrade": "websocket"})
    offered = request.headers.get("Sec-WebSocket-Protocol")
    if offered is not None and PROTOCOL not in [name.strip() for name in offered.split(",")]:
        raise RequestError(
            f"this hub only speaks the subprotocol {PROTOCOL}", code="bad_subprotocol"
        )


class _Authentication:
    """The credentials that one connection presents, and how long they last.

    ``close`` ends the connection.
    """

    __slots__ = ("_address", "_close", "_early", "_hub", "_request", "_timer", "gate", "refused")

    def __init__(
        self, hub: Hub, gate: Gate, request: web.Request, close: Callable[[CloseCode], None]
    ) -> None:
        self.gate = gate
        self._hub = hub
        self._request = request
        self.refused: CloseCode | None = None
        """Why the connection is to be closed, after the reply to the command."""
        self._address = address_of(request)
        self._close = close
        self._timer: asyncio.TimerHandle | None = None
        self._early: TokenBucket | None = None
        """For the frames before the first credential."""

    def pace(self, by: Principal, size: int) -> float:
        """Count a frame; returns how many seconds to wait before it is read.

        Until it shows a credential a connection is counted by itself: others at its address must
        not keep it from that.
        """
        if not by.is_nobody:
            return self.gate.pace(by, size)
        now = asyncio.get_running_loop().time()
        if self._early is None:
            self._early = TokenBucket(EARLY_FRAMES, EARLY_FRAMES / self.gate.token_seconds, now)
        return self._early.take(1 + size / EARLY_BYTES, now)

    def watch(self, by: Principal) -> None:
        """Close the connection when its principal's time is up."""
        self.end()
        later = asyncio.get_running_loop().call_later
        if by.expires is not None:
            left = _left(by, by.expires)
            self._timer = later(min(max(left, 0), DAY), self._check_time, by)
        elif by.credential is None and not by.grants:
            self._timer = later(self.gate.token_seconds, self._close, CloseCode.AUTH_TIMEOUT)

    def _check_time(self, by: Principal) -> None:
        if by.expires is not None and _left(by, by.expires) <= 0:
            self._close(CloseCode.TOKEN_EXPIRED)
        else:
            self.watch(by)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def check(self, command: Command, by: Principal) -> None:
        """Check that a principal may send a command now, and count it.

        Raises:
            Unauthorized: ``token_expired``.
            RateLimited: there were too many.
        """
        if not isinstance(command, Auth | Ping | Unsubscribe):
            self.gate.check_current(by)
            if not isinstance(command, Presence):
                self.gate.count(by)

    async def present(self, token: str, before: Principal) -> Principal:
        """The principal of a token, if it may take over the connection from the one ``before``.

        Raises:
            Unauthorized, Unavailable, RateLimited: as `Gate.present`.
            RateLimited: as many connections of that principal are open as may be.
            Forbidden: ``not_permitted``.
        """
        try:
            by = await self.gate.present(token, self._address)
        except Unauthorized as error:
            if before.credential is None and not before.grants:
                expired = error.code == "token_expired"
                self.refused = CloseCode.TOKEN_EXPIRED if expired else CloseCode.UNAUTHORIZED
            raise
        # A link only reads: whoever is signed in may look at what others have shared.
        if by.shared is None and before.subject not in (None, by.subject):
            raise Forbidden(
                "this token is somebody else's: open another connection", code="not_permitted"
            )
        if not by.grants or by.within == ():
            self.refused = CloseCode.UNAUTHORIZED
            raise Forbidden("your credential allows nothing here", code="not_permitted")
        hand_over(self._hub, self._request, by)
        self.watch(by)
        return by


def _left(by: Principal, expires: float) -> float:
    """After how many seconds a connection is closed; a share link cannot be renewed."""
    return expires - time.time() + (EXPIRED_SECONDS if by.shared is None else 0.0)


class _Client:
    """One client: its commands, one after another, and the reply to each."""

    __slots__ = (
        "_auth",
        "_bad",
        "_busy",
        "_frame_bytes",
        "_hub",
        "_pings",
        "_waiter",
        "connection",
    )

    def __init__(
        self, hub: Hub, connection: Connection, frame_bytes: int, auth: _Authentication | None
    ) -> None:
        self.connection = connection
        self._auth = auth
        self._hub = hub
        self._frame_bytes = frame_bytes
        self._bad: TokenBucket | CloseCode | None = None
        """Its frames without a command, or that there were too many; most clients send none."""
        self._pings: TokenBucket | None = None
        """For those where there is no authentication; most clients send none."""
        self._busy = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def refused(self) -> CloseCode | None:
        """Why the connection is to be closed, after the last reply."""
        if isinstance(self._bad, CloseCode):
            return self._bad
        return None if self._auth is None else self._auth.refused

    def pace(self, message: WSMessage) -> float:
        """Count a frame; returns how many seconds to wait before it is read."""
        if self._auth is not None:
            return self._auth.pace(self.connection.by, len(message.data))
        if message.type not in (WSMsgType.PING, WSMsgType.PONG):
            return 0.0
        now = asyncio.get_running_loop().time()
        if self._pings is None:
            self._pings = TokenBucket(PINGS, PINGS_SAVED, now)
        return self._pings.take(1, now)

    async def receive(self, kind: WSMsgType, text: Any) -> None:
        """Reply to one frame, whatever it holds."""
        self._busy = True
        size = 0  # for what is not even looked at
        try:
            frame = self._check(kind, text)
            with self._hub.allowance.taken(request_size(frame), self.connection.by.counted_as):
                size = len(frame)
                await self._reply(frame)
        except (CommandError, TooLarge) as error:
            await self._send_error(self._count_bad(size) or error, getattr(error, "reply_to", None))
        except HubError as error:
            await self._send_error(error, None)
        finally:
            self._busy = False
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    def _count_bad(self, size: int) -> HubError | None:
        """Count a frame without a command; returns why it is refused, if not for what it is."""
        now = asyncio.get_running_loop().time()
        if self._bad is None:
            self._bad = TokenBucket(BAD_FRAMES, FORGIVEN, now)
        if isinstance(self._bad, TokenBucket) and self._bad.take(1 + size / BAD_BYTES, now):
            self._bad = CloseCode.PROTOCOL_ERROR
        try:
            if self._auth is not None:
                self._auth.gate.count(self.connection.by)
        except RateLimited as error:
            return error
        return None

    async def replied(self, within: float) -> None:
        """Wait for the reply to the current command, ``within`` seconds at most."""
        if self._busy:
            self._waiter = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._waiter], timeout=within)

    def _check(self, kind: WSMsgType, text: Any) -> bytes:
        if kind is not WSMsgType.TEXT:
            raise CommandError("commands must be text frames, not binary ones", code="bad_frame")
        most, why = self._frame_bytes, "limits.frame_bytes"
        if self._auth is not None and self.connection.by.is_nobody and most > EARLY_BYTES:
            most, why = EARLY_BYTES, "until you show a credential"
        if len(text) <= most:
            frame: bytes = text.encode()
            if len(frame) <= most:
                return frame
        raise TooLarge(f"a frame must have at most {most} bytes ({why})", code="frame_too_large")

    async def _reply(self, frame: bytes) -> None:
        command = commands.parse(frame)
        try:
            await self._execute(command)
        except HubError as error:
            await self._send_error(error, command.id)

    async def _execute(self, command: Command) -> None:
        if self._auth is not None:
            self._auth.check(command, self.connection.by)
        match command:
            case Auth() if self._auth is not None and self._auth.gate.takes_tokens:
                await self._authenticate(command, self._auth)
            case Subscribe():
                await self._subscribe(command)
            case Unsubscribe():
                if not self.connection.unsubscribe(command.stream):
                    raise _not_subscribed()
                await self._ok(command, stream=command.stream)
            case Append():
                await self._append(command)
            case Fork():
                await self._fork(command)
            case Generate():
                await self._generate(command)
            case Requeue():
                await self._requeue(command)
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
                    f'this hub does not support "{command.type}" yet', code="not_supported"
                )

    async def _authenticate(self, command: Auth, auth: _Authentication) -> None:
        by = await auth.present(command.token, self.connection.by)
        self.connection.by = by
        refused = self._hub.streams.check_subscriptions(self.connection)
        left = None if by.expires is None else max(int(by.expires - time.time()), 0)
        await self._ok(command, expires_in=left)
        for name in refused:
            await self.connection.tell(error_message(StreamNotFound.named(name), stream=name))

    async def _subscribe(self, command: Subscribe) -> None:
        await subscribe(self._hub, self.connection, command, **_named(command.id))

    async def _presence(self, command: Presence) -> None:
        streams, by, member = self._hub.streams, self.connection.by, None
        label = command.member or ""
        if not self.connection.follows(command.stream):
            raise _not_subscribed()
        if command.state == "null":
            streams.leave(self.connection, command.stream, label, by=by)
        else:
            state = commands.encoded_state(command.state, streams.state_bytes)
            member = streams.enter(self.connection, command.stream, label, state, by=by)
        await self._ok(command, stream=command.stream, member=member)

    async def _append(self, command: Append) -> None:
        body = json_messages.one(command.event, "the event")
        outcome = await self._hub.streams.append_to(
            command.stream, decode(body), body, by=self.connection.by
        )
        await self._committed(command, outcome)

    async def _fork(self, command: Fork) -> None:
        at = None if command.position is None else Position.parse(command.position)
        outcome = await self._hub.streams.fork(
            command.stream, command.source, at, by=self.connection.by
        )
        await self._committed(command, outcome)

    async def _committed(self, command: Append | Fork, outcome: Outcome) -> None:
        """Reply to a write once it is committed."""
        await self._hub.streams.committed(command.stream)
        await self._ok(command, stream=command.stream, position=str(outcome.position))

    async def _generate(self, command: Generate) -> None:
        # Unlike `model_dump`, this does not copy the messages.
        fields = {name: value for name, value in command if name not in ("id", "type")}
        generation = await self._hub.generations.start(
            GenerationRequest(**fields), by=self.connection.by
        )
        await self._ok(
            command,
            generation=generation.id,
            stream=generation.stream,
            position=str(generation.position),
            state=generation.state.value,
        )

    async def _requeue(self, command: Requeue) -> None:
        generation = await self._hub.generations.requeue(
            command.generation,
            prompt=command.prompt,
            place=command.place,
            now=command.now,
            by=self.connection.by,
        )
        await self._ok(command, generation=generation.id, state=generation.state.value)

    async def _ok(self, command: Command, **fields: Any) -> None:
        await self.connection.tell({"type": "ok", **_named(command.id), **fields})

    async def _send_error(self, error: HubError, reply_to: str | int | None) -> None:
        await self.connection.tell(error_message(error, **_named(reply_to)))


def _named(reply_to: str | int | None) -> dict[str, str | int]:
    """The field of a reply that names its command."""
    return {} if reply_to is None else {"id": reply_to}


def _not_subscribed() -> Conflict:
    return Conflict("this connection does not follow that stream", code="not_subscribed")
