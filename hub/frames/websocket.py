"""RFC 6455 frames with `hub.v1` messages: records, and everything else the hub tells a client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import orjson

from hub.frames.encoder import Encoder
from hub.frames.messages import MessageEncoder

__all__ = ["WEBSOCKET", "close_frame", "pong_frame", "presence_frame", "text_frame"]


def text_frame(text: bytes) -> bytes:
    """An unmasked, unfragmented RFC 6455 text frame (section 5.2) around UTF-8 bytes."""
    size = len(text)
    if size < 126:
        return b"\x81" + size.to_bytes(1) + text
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2) + text
    return b"\x81\x7f" + size.to_bytes(8) + text


def pong_frame(data: bytes) -> bytes:
    """The reply to a ping, with at most 125 bytes of data (RFC 6455 section 5.5.3)."""
    return b"\x8a" + len(data).to_bytes(1) + data


def close_frame(code: int) -> bytes:
    """A close frame without a reason (RFC 6455 section 5.5.1)."""
    return b"\x88\x02" + code.to_bytes(2)


class _WebSocket(MessageEncoder):
    """`hub.v1` messages."""

    def enclose(self, text: bytes) -> bytes:
        return text_frame(text)


def presence_frame(stream: str, joined: Iterable[tuple[str, bytes]], left: Iterable[str]) -> bytes:
    """The members that joined a stream's presence list, with their encoded state, or left it."""
    return text_frame(
        b'{"type":"presence","stream":%s,"joined":[%s],"left":%s}'
        % (
            orjson.dumps(stream),
            b",".join([b'{"member":"%s","state":%s}' % (m.encode(), state) for m, state in joined]),
            orjson.dumps(list(left)),
        )
    )


WEBSOCKET: Final[Encoder] = _WebSocket()
