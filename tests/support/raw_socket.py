"""Bytes on a socket, for what no proper client would send or would show."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from tests.support.patience import PATIENCE

__all__ = ["RETRY_AFTER", "UPGRADE", "Frame", "client_frame", "exchange", "frames"]

RETRY_AFTER: Final = {"1", "2", "3"}
"""What a client that was refused for the moment may be told."""

UPGRADE: Final = (
    b"GET /v1/ws HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
"""The head of a WebSocket's request, without the empty line that ends it."""

MASK: Final = b"\x11\x22\x33\x44"


async def exchange(port: int | None, *sent: bytes, half_close: bool = False) -> bytes:
    """Send all of it, and give all that comes until the other side closes.

    ``half_close`` says with a FIN that no more will come, and goes on reading.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"".join(sent))
        if half_close:
            writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    finally:
        writer.transport.abort()


class Frame(NamedTuple):
    """One frame of RFC 6455 section 5.2 from the hub."""

    opcode: int
    payload: bytes


def client_frame(
    payload: bytes, opcode: int = 1, *, final: bool = True, masked: bool = True, reserved: int = 0
) -> bytes:
    """A frame as a client sends it, or as it should not: all of its header is free."""
    head = bytes([(0x80 if final else 0) | reserved | opcode])
    mask = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([mask | len(payload)])
    elif len(payload) < 65536:
        head += bytes([mask | 126]) + len(payload).to_bytes(2)
    else:
        head += bytes([mask | 127]) + len(payload).to_bytes(8)
    if not masked:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))


def frames(given: bytes) -> list[Frame]:
    """The frames in what came after the head of the hub's answer; none may be masked."""
    rest = given.partition(b"\r\n\r\n")[2]
    found = []
    while rest:
        size, start = rest[1], 2
        assert size < 128
        if size == 126:
            size, start = int.from_bytes(rest[2:4]), 4
        elif size == 127:
            size, start = int.from_bytes(rest[2:10]), 10
        assert len(rest) >= start + size
        found.append(Frame(rest[0] & 0x0F, rest[start : start + size]))
        rest = rest[start + size :]
    return found
