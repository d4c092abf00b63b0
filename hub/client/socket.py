"""The WebSocket ``hub.v1`` of a hub: commands out, messages back.

::

    async with Socket("http://127.0.0.1:7000") as socket:
        await socket.send({"type": "append", "id": 1, "stream": "news", "event": {...}})
        reply = await socket.receive()

Errors have the codes of `hub.client.transport`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, Self

import aiohttp
import orjson

from hub.client.transport import lost, not_a_hub, unreachable
from hub.framing import DEFAULT_LIMIT

__all__ = ["Socket"]

PROTOCOL: Final = "hub.v1"


class Socket:
    """One WebSocket to the hub at ``url``, for an ``async with``."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._entered = AsyncExitStack()
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            HubError: ``hub_unreachable``, ``hub_malformed``.
        """
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
            )
            self._socket = await stack.enter_async_context(await self._connect(client))
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
        """
        while True:
            frame = await self._open.receive()
            if frame.type is not aiohttp.WSMsgType.TEXT:
                raise lost(self._url)
            try:
                message = orjson.loads(frame.data)
            except orjson.JSONDecodeError:
                message = None
            if not isinstance(message, dict):
                raise not_a_hub(self._url, "it does not send JSON objects")
            if message.get("type") != "beat":
                return message

    @property
    def _open(self) -> aiohttp.ClientWebSocketResponse:
        if self._socket is None:
            raise RuntimeError("enter the context of the socket first")
        return self._socket

    async def _connect(self, client: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        try:
            return await client.ws_connect(
                f"{self._url}/v1/ws",
                protocols=(PROTOCOL,),
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                heartbeat=30.0,
                # One frame holds several events, and each may hold a picture.
                max_msg_size=4 * DEFAULT_LIMIT,
            )
        except (aiohttp.ClientConnectorError, TimeoutError):
            raise unreachable(self._url) from None
        except aiohttp.ClientError:
            raise not_a_hub(self._url, "it does not speak hub.v1") from None
