"""How a subscriber of each kind speaks: its request, its first words, how its bytes are cut.

Two framings are all there is: WebSocket frames (RFC 6455, section 5.2) and the chunks of an
HTTP/1.1 body (RFC 9112, section 7.1). Both are parsed by their headers; a frame is whole or
it waits for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["WIRES", "Cut", "Wire"]

Cut = Callable[[bytes], tuple[list[bytes], bytes, bytes]]
"""Bytes as read -> the bodies of whole frames, the bytes left over, what to answer at once."""

PING, PONG = 0x9, 0x8A


@dataclass(frozen=True, slots=True)
class Wire:
    """One kind of subscriber; ``ready`` stands in the first frame that says: subscribed.

    Where it is empty the head of the response says so.
    """

    request: bytes
    opening: bytes
    ready: bytes
    cut: Cut


def _frames(received: bytes) -> tuple[list[bytes], bytes, bytes]:
    bodies: list[bytes] = []
    answers = b""
    at, end = 0, len(received)
    while end - at >= 2:
        length, start = received[at + 1], at + 2
        if length == 126:
            length, start = int.from_bytes(received[at + 2 : at + 4], "big"), at + 4
        elif length == 127:
            length, start = int.from_bytes(received[at + 2 : at + 10], "big"), at + 10
        if start + length > end:
            break
        body = received[start : start + length]
        if received[at] & 0x0F == PING:
            answers += _masked(PONG, body)
        elif body == b"2":  # Engine.IO has a ping of its own
            answers += _masked(0x81, b"3")
        else:
            bodies.append(body)
        at = start + length
    return bodies, received[at:], answers


def _chunks(received: bytes) -> tuple[list[bytes], bytes, bytes]:
    bodies: list[bytes] = []
    at = 0
    while (line := received.find(b"\r\n", at)) >= 0:
        start = line + 2
        length = int(received[at:line], 16)
        if start + length + 2 > len(received):
            break
        bodies.append(received[start : start + length])
        at = start + length + 2
    return bodies, received[at:], b""


def _masked(first: int, body: bytes) -> bytes:
    """A frame as a client must send it, masked (with zeros, which leave it as it is)."""
    assert len(body) < 126
    return bytes((first, 0x80 | len(body), 0, 0, 0, 0)) + body


def _get(path: str, *fields: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *fields, "", "")).encode()


def _websocket(path: str, *fields: str) -> bytes:
    upgrade = "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"
    return _get(path, *upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *fields)


SUBSCRIBE = b'{"type":"subscribe","id":"1","stream":"bench","from":"now"}'

WIRES = {
    "websocket": Wire(_websocket("/"), b"", b"ready", _frames),
    "hub.v1": Wire(
        _websocket("/v1/ws", "Sec-WebSocket-Protocol: hub.v1"),
        _masked(0x81, SUBSCRIBE),
        b'"type":"ok"',
        _frames,
    ),
    "sse": Wire(
        _get("/v1/live/bench?from=now", "Accept: text/event-stream"),
        b"",
        b"retry:",
        _chunks,
    ),
    "ndjson": Wire(_get("/v1/live/bench?from=now&format=ndjson"), b"", b"", _chunks),
    "socket.io": Wire(
        _websocket("/socket.io/?EIO=4&transport=websocket"),
        _masked(0x81, b"40"),
        b'"ready"',
        _frames,
    ),
}
