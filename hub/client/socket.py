"""The WebSocket ``hub.v1`` of a hub: commands out, messages back.

::

    async with Socket("http://127.0.0.1:7000") as socket:
        await socket.send({"type": "append", "id": 1, "stream": "news", "event": {...}})
        reply = await socket.receive()

A token goes with the upgrade, for whatever stands before the hub, and in the command ``auth``,
whose reply tells how long it lasts. Before that time is over the next token follows, so that the
connection goes on. Redirects are not followed.

Errors have the codes of `hub.client.transport` and `hub.client.tokens`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final, NoReturn, Self

import aiohttp
import orjson

from hub.client.backoff import wait_before
from hub.client.errors import replied
from hub.client.tokens import Token, Tokens
from hub.client.transport import CONNECT_SECONDS, check_url, lost, not_a_hub, unreachable
from hub.domain.errors import Forbidden, HubError, RateLimited, Unauthorized
from hub.framing import DEFAULT_LIMIT

__all__ = ["Socket"]

PROTOCOL: Final = "hub.v1"

EARLY: Final = 60.0
"""How many seconds before a token ends the next one is sent; a quarter of its time at most."""

SOONEST: Final = 0.5
LATEST: Final = 86_400.0

AUTH: Final = "auth"
"""The ``id`` of the commands that this class sends by itself."""

# By the close codes with which a hub ends a connection whose token does not hold.
_REFUSALS: Final[Mapping[int | None, tuple[str, str]]] = {
    4200: ("token_expired", "the token has expired, and no new one came in time"),
    4203: ("unauthorized", "the hub needs a token"),
    4501: ("unauthorized", "the hub refuses the token"),
    4502: ("revoked", "the token was revoked"),
}


class Socket:
    """One WebSocket to the hub at ``url``, for an ``async with``.

    Raises:
        RequestError: it is not a URL, or ``bad_token``.
    """

    def __init__(self, url: str, token: Token | None = None) -> None:
        check_url(url, with_token=token is not None)
        self._url = url.rstrip("/")
        self._tokens = None if token is None else Tokens(token)
        self._entered = AsyncExitStack()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._renewal: asyncio.Future[dict[str, Any]] | None = None
        """Waits for the reply to the ``auth`` that was sent last."""

    async def __aenter__(self) -> Self:
        """Connect, and present the token.

        Raises:
            HubError: ``hub_unreachable``, ``hub_malformed``; the hub refuses the token, also the
                one after it, or there is none.
            RateLimited: there are too many requests or connections of the same user.
        """
        async with AsyncExitStack() as stack:
            traces = aiohttp.TraceConfig()
            traces.on_request_redirect.append(self._refuse_redirect)
            client = await stack.enter_async_context(
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[traces])
            )
            self._socket = await self._opened(client, stack)
            self._entered = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._entered.aclose()

    async def send(self, command: Mapping[str, Any]) -> None:
        """Send a command; waits while the hub does not read.

        Raises:
            HubError: ``hub_lost``.
        """
        await self.send_text(orjson.dumps(command))

    async def send_text(self, command: bytes) -> None:
        """Send an encoded command; see `send`."""
        try:
            await self._open.send_str(command.decode())
        except (aiohttp.ClientError, ConnectionError):
            raise lost(self._url) from None

    async def receive(self) -> dict[str, Any]:
        """The next message that is not a beat.

        Raises:
            HubError: ``hub_lost``, ``hub_malformed``.
            Unauthorized: ``token_expired``, ``unauthorized``, ``revoked``: the hub has closed the
                connection, because its token does not hold any more.
        """
        while True:
            message = await self._message(self._open)
            if message.get("id") == AUTH and self._renewal is not None:
                if not self._renewal.done():
                    self._renewal.set_result(message)
            elif message.get("type") != "beat":
                return message

    @property
    def _open(self) -> aiohttp.ClientWebSocketResponse:
        if self._socket is None:
            raise RuntimeError("enter the context of the socket first")
        return self._socket

    # Connecting

    async def _opened(
        self, client: aiohttp.ClientSession, stack: AsyncExitStack
    ) -> aiohttp.ClientWebSocketResponse:
        if self._tokens is None:
            return await stack.enter_async_context(await self._connect(client, {}))
        token = await self._tokens.get()
        try:
            return await stack.enter_async_context(self._admitted(client, self._tokens, token))
        except Unauthorized:
            fresh = await self._tokens.renewed(token)
            if fresh is None:
                raise
        return await stack.enter_async_context(self._admitted(client, self._tokens, fresh))

    @asynccontextmanager
    async def _admitted(
        self, client: aiohttp.ClientSession, tokens: Tokens, token: str
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A connection that the hub lets in with a token.

        Raises:
            HubError: see `__aenter__`.
        """
        headers = {"Authorization": f"Bearer {token}"}
        async with await self._connect(client, headers) as socket:
            await _present(socket, token)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    seconds = _lasts(await self._message(socket))
            except TimeoutError:
                raise not_a_hub(self._url, "it does not reply") from None
            if seconds is None or tokens.fixed:
                yield socket
                return
            renewing = asyncio.create_task(self._renew(socket, tokens, token, seconds))
            try:
                yield socket
            finally:
                renewing.cancel()
                await asyncio.wait([renewing])

    async def _connect(
        self, client: aiohttp.ClientSession, headers: Mapping[str, str]
    ) -> aiohttp.ClientWebSocketResponse:
        try:
            return await client.ws_connect(
                f"{self._url}/v1/ws",
                protocols=(PROTOCOL,),
                headers=headers,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                heartbeat=30.0,
                # One frame holds several events, and each may hold a picture.
                max_msg_size=4 * DEFAULT_LIMIT,
            )
        except (aiohttp.ClientConnectorError, TimeoutError):
            raise unreachable(self._url) from None
        except aiohttp.WSServerHandshakeError as error:
            raise self._refusal(error.status, with_token=bool(headers)) from None
        except aiohttp.ClientError:
            raise not_a_hub(self._url, "it does not speak hub.v1") from None

    def _refusal(self, status: int, *, with_token: bool) -> HubError:
        if status == 401:
            return Unauthorized("the hub refuses the token" if with_token else "it needs a token")
        if status == 403:
            return Forbidden("the hub allows nothing here", code="not_permitted")
        if status == 429:
            return RateLimited("the hub takes no more requests or connections of yours for now")
        return not_a_hub(self._url, "it does not speak hub.v1")

    async def _refuse_redirect(self, *_: object) -> NoReturn:
        raise not_a_hub(self._url, "it redirects")

    async def _message(self, socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
        frame = await socket.receive()
        if frame.type is not aiohttp.WSMsgType.TEXT:
            # aiohttp forgets the code if the connection has ended before the frame is read.
            closed = frame.data if frame.type is aiohttp.WSMsgType.CLOSE else socket.close_code
            if closed in _REFUSALS:
                code, said = _REFUSALS[closed]
                raise Unauthorized(said, code=code)
            raise lost(self._url)
        try:
            message = orjson.loads(frame.data)
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, dict):
            raise not_a_hub(self._url, "it does not send JSON objects")
        return message

    # Going on with the next token

    async def _renew(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        tokens: Tokens,
        token: str,
        seconds: float,
    ) -> None:
        """Present the next token in time, over and over; ends when none of them has an end.

        If there is none, or the hub refuses it, it is asked for again after growing waits, until
        the hub closes the connection.
        """
        failures = 0
        loop = asyncio.get_running_loop()
        due = loop.time() + _until_renewal(seconds)
        while not socket.closed:
            await asyncio.sleep(min(due - loop.time(), LATEST))
            if loop.time() < due:
                continue
            lasts: float | None = 0.0
            # Whatever goes wrong is said by the hub, when it closes the connection.
            with suppress(HubError, TimeoutError, aiohttp.ClientError, ConnectionError):
                fresh = await tokens.renewed(token)
                if fresh is not None:
                    lasts = _lasts(await self._reply_to(socket, fresh))
                    token, failures = fresh, 0
            if lasts is None:
                return
            if lasts:
                due = loop.time() + _until_renewal(lasts)
            else:
                failures += 1
                due = loop.time() + wait_before(failures)

    async def _reply_to(
        self, socket: aiohttp.ClientWebSocketResponse, token: str
    ) -> dict[str, Any]:
        """The reply to ``auth``, which `receive` passes on."""
        self._renewal = asyncio.get_running_loop().create_future()
        await _present(socket, token)
        async with asyncio.timeout(CONNECT_SECONDS):
            return await self._renewal


async def _present(socket: aiohttp.ClientWebSocketResponse, token: str) -> None:
    await socket.send_json({"type": "auth", "id": AUTH, "token": token})


def _lasts(reply: Mapping[str, Any]) -> float | None:
    """How many seconds a token lasts; ``None`` if it has no end.

    Raises:
        HubError: the hub refuses it.
    """
    if reply.get("type") != "error":
        seconds = reply.get("expires_in")
        return float(seconds) if isinstance(seconds, int | float) else None
    if reply.get("code") == "not_supported":  # it takes tokens in no command, or needs none
        return None
    raise replied(reply)


def _until_renewal(seconds: float) -> float:
    return max(seconds - min(EARLY, seconds / 4), SOONEST)
