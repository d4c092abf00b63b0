"""Reference parsers of what the hub sends, written from the standards and from nothing else.

All are push parsers: `feed` takes bytes cut anywhere and gives what is whole. They are slow
and strict; what a standard does not allow is an `AssertionError`.
"""

from __future__ import annotations

import json
from codecs import getincrementaldecoder
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from aiohttp.test_utils import TestClient

__all__ = [
    "Chunks",
    "Frame",
    "Frames",
    "Lines",
    "Objects",
    "ServerEvents",
    "ServerSent",
    "text_at",
]

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Frame(NamedTuple):
    """One WebSocket frame."""

    opcode: int
    body: bytes


class Frames:
    """RFC 6455 section 5.2, frames of a server: whole, never masked, no extension."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._closed = False

    def feed(self, piece: bytes) -> Iterator[Frame]:
        self._held += piece
        while (frame := self._next()) is not None:
            assert not self._closed, "after a close frame no frame may follow (section 5.5.1)"
            self._closed = frame.opcode == CLOSE
            yield frame

    @property
    def between(self) -> bool:
        """No frame has begun and not ended."""
        return not self._held

    def _next(self) -> Frame | None:
        held = self._held
        if len(held) < 2:
            return None
        assert held[0] & 0x80, "FIN: messages are not fragmented"
        assert not held[0] & 0x70, "RSV1 to RSV3: no extension was agreed on"
        assert not held[1] & 0x80, "a server never masks (section 5.1)"
        opcode, size, start = held[0] & 0x0F, held[1], 2
        assert opcode in (TEXT, CLOSE, PING, PONG), opcode
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(held) < start:
                return None
            size = int.from_bytes(held[2:start], "big")
            assert size >= (126 if start == 4 else 65536), "the shortest form (section 5.2)"
            assert size < 2**63, "the most significant bit is 0"
        assert opcode < CLOSE or size <= 125, "control frames are short (section 5.5)"
        if len(held) < start + size:
            return None
        body = bytes(held[start : start + size])
        del held[: start + size]
        return Frame(opcode, body)


class Chunks:
    """RFC 9112 section 7.1, the chunked coding. ``whole`` once the last chunk has come."""

    def __init__(self) -> None:
        self._held = bytearray()
        self.whole = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        self._held += piece
        while (found := self._next()) is not None:
            if found:
                yield found

    def _next(self) -> bytes | None:
        held = self._held
        end = held.find(b"\r\n")
        if self.whole or end < 0:
            assert not (self.whole and held), f"bytes after the last chunk: {bytes(held)!r}"
            return None
        size = bytes(held[:end])
        assert size, "a chunk begins with its size"
        assert not size.strip(b"0123456789abcdefABCDEF"), f"not a chunk size: {size!r}"
        start, stop = end + 2, end + 2 + int(size, 16)
        if len(held) < stop + 2:
            return None
        body = bytes(held[start:stop])
        assert held[stop : stop + 2] == b"\r\n", "a chunk ends with CRLF"
        del held[: stop + 2]
        self.whole = not body
        return None if self.whole and not held else body


@dataclass
class ServerSent:
    """One dispatched server-sent event: ``last_id`` is the reader's last event ID then."""

    event: str
    data: str
    last_id: str


class ServerEvents:
    """WHATWG HTML section 9.2.6, "Interpreting an event stream"."""

    def __init__(self) -> None:
        self.comments: list[str] = []
        self.retry: int | None = None
        self._decode = getincrementaldecoder("utf-8-sig")()
        self._held = ""
        self._id = self._event = self._data = ""
        self._last_id = ""

    def feed(self, piece: bytes) -> Iterator[ServerSent]:
        self._held += self._decode.decode(piece)
        while (line := self._line()) is not None:
            if line:
                self._field(line)
                continue
            self._last_id = self._id
            if self._data:
                yield ServerSent(self._event or "message", self._data[:-1], self._last_id)
            self._event = self._data = ""

    @property
    def between(self) -> bool:
        """No event has begun and not ended."""
        return not self._held and not self._data and self._id == self._last_id

    def _line(self) -> str | None:
        ends = [place for end in "\r\n" if (place := self._held.find(end)) >= 0]
        if not ends:
            return None
        end = min(ends)
        if self._held[end] == "\r":
            if end + 1 == len(self._held):
                return None  # an LF may still come
            after = end + 2 if self._held[end + 1] == "\n" else end + 1
        else:
            after = end + 1
        line, self._held = self._held[:end], self._held[after:]
        return line

    def _field(self, line: str) -> None:
        name, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if colon and not name:
            self.comments.append(value)
        elif name == "data":
            self._data += value + "\n"
        elif name == "event":
            self._event = value
        elif name == "id":
            assert "\0" not in value
            self._id = value
        elif name == "retry":
            assert value.isascii()
            assert value.isdigit()
            self.retry = int(value)
        else:
            raise AssertionError(f"no field of an event stream: {line!r}")


class Lines:
    """NDJSON: one JSON object a line, each line ended by LF."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        *whole, self._held = (self._held + piece).split(b"\n")
        for line in whole:
            value = json.loads(line)
            assert isinstance(value, dict)
            yield value

    @property
    def between(self) -> bool:
        """No line has begun and not ended."""
        return not self._held


class Objects:
    """JSON objects one after another, white space between them or none."""

    _decoder: Final = json.JSONDecoder()

    def __init__(self) -> None:
        self._decode = getincrementaldecoder("utf-8")()
        self._held = ""

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        self._held = (self._held + self._decode.decode(piece)).lstrip(" \t\r\n")
        while self._held:
            assert self._held[0] == "{", self._held[:20]
            try:
                value, end = self._decoder.raw_decode(self._held)
            except json.JSONDecodeError:
                return  # not whole yet
            self._held = self._held[end:].lstrip(" \t\r\n")
            yield value

    @property
    def between(self) -> bool:
        """No object has begun and not ended."""
        return not self._held


async def text_at(client: TestClient[Any, Any], where: str) -> str:
    """The text of a stream of events, read to its end as a Durable Streams client does."""
    async with client.get(where, params={"offset": "-1", "live": "sse"}) as response:
        assert response.status == 200
        told = list(ServerEvents().feed(await response.read()))
    assert json.loads(told[-1].data)["streamClosed"]
    events = [event for each in told if each.event == "data" for event in json.loads(each.data)]
    return "".join(event["text"] for event in events if event["type"] == "delta")
