"""The close codes of aiohttp's WebSockets."""

from __future__ import annotations

from aiohttp import ClientWebSocketResponse, WSMessage, WSMsgType

__all__ = ["close_code"]


def close_code(socket: ClientWebSocketResponse, last: WSMessage) -> int | None:
    """With which code a connection was closed whose ``last`` message is no other.

    ``socket.close_code`` is another one if the connection had ended before its close frame was
    read and could be answered.
    """
    return last.data if last.type is WSMsgType.CLOSE else socket.close_code
