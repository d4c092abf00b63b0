"""A hub spoken to over its WebSocket ``hub.v1``: commands out, messages back.

::

    async with Socket("http://127.0.0.1:7000") as socket:
        await socket.send({"type": "append", "id": 1, "stream": "news", "event": {...}})
        reply = await socket.receive()

Errors have the codes of `hub.client.transport`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson

from hub.domain.errors import HubError
from hub.framing import DEFAULT_LIMIT

__all__ = ["Socket"]

PROTOCOL: Final = "hub.v1"
CONNECT_SECONDS: Final = 10.0


class Socket:
    """One WebSocket to the hub at ``url``, while the context lasts."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._left = AsyncExitStack()
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
            self._left = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._left.aclose()

    async def send(self, command: Mapping[str, Any]) -> None:
        """Send a command; waits while the hub takes none.

        Raises:
            HubError: ``hub_lost``.
        """
        await self.send_text(orjson.dumps(command))

    async def send_text(self, command: bytes) -> None:
        """Send a command that is JSON already; see `send`."""
        try:
            await self._opened.send_str(command.decode())
        except (aiohttp.ClientError, ConnectionError):
            raise self._lost() from None

    async def receive(self) -> dict[str, Any]:
        """The next message that is not a beat.

        Raises:
            HubError: ``hub_lost``, ``hub_malformed``.
        """
        while True:
            frame = await self._opened.receive()
            if frame.type is not aiohttp.WSMsgType.TEXT:
                raise self._lost()
            try:
                message = orjson.loads(frame.data)
            except orjson.JSONDecodeError:
                raise self._not_a_hub() from None
            if not isinstance(message, dict):
                raise self._not_a_hub()
            if message.get("type") != "beat":
                return message

    @property
    def _opened(self) -> aiohttp.ClientWebSocketResponse:
        if self._socket is None:
            raise RuntimeError("a Socket is used inside its context")
        return self._socket

    async def _connect(self, client: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        try:
            return await client.ws_connect(
                f"{self._url}/v1/ws",
                protocols=(PROTOCOL,),
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                heartbeat=30.0,
                # One frame holds all that came at once, and pictures come in one piece.
                max_msg_size=4 * DEFAULT_LIMIT,
            )
        except (aiohttp.ClientConnectorError, TimeoutError):
            raise HubError(
                f"no hub answers at {self._url}: start one with `streamhub serve`",
                code="hub_unreachable",
            ) from None
        except aiohttp.ClientError:
            raise self._not_a_hub() from None

    def _lost(self) -> HubError:
        return HubError(f"the hub at {self._url} closed the connection", code="hub_lost")

    def _not_a_hub(self) -> HubError:
        return HubError(f"what is at {self._url} is not a hub", code="hub_malformed")
