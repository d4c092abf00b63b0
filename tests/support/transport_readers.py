"""Readers: one driver for each transport, with parsers of their own.

All are used alike, whatever the transport::

    reader = await SSE(port, "chat").open("start")
    await reader.until(lambda: reader.text == "Hello")
    reader.drop()                             # an RST, as a network that goes away
    await reader.open()                       # comes back to where it was

A reader takes a batch as a whole or not at all: what it has of one whose position has not
come is forgotten when it drops, as a client must.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from abc import abstractmethod
from collections.abc import Iterator
from itertools import count
from typing import Any, ClassVar, Protocol, Self

from tests.support.raw_socket import client_frame
from tests.support.reader import Reader, Told
from tests.support.reference_parsers import (
    Chunks,
    Frame,
    Frames,
    Lines,
    Objects,
    ServerEvents,
    ServerSent,
)

__all__ = ["DRIVERS", "HTTP", "JSON", "NDJSON", "SSE", "Follow", "Reader", "Text", "WebSocket"]


class WebSocket(Reader):
    """`hub.v1`. Any command may be given to it beside following its stream."""

    name = "websocket"

    def __init__(self, port: int, stream: str, *, kernel_buffer: int | None = None) -> None:
        super().__init__(port, stream, kernel_buffer=kernel_buffer)
        self.replies: dict[Any, Told] = {}
        self.answers = 0
        self.others: list[Told] = []
        self.close_code: int | None = None
        self._numbers = count(1)
        self._key = ""

    async def ask(self, **fields: Any) -> Told:
        """Give a command and wait for its answer."""
        number = next(self._numbers)
        self.tell(id=number, **fields)
        await self.until(lambda: number in self.replies or self.end)
        if number not in self.replies:
            raise ConnectionResetError("the connection has ended before the answer")
        return self.replies[number]

    def tell(self, **fields: Any) -> None:
        """Give a command."""
        self.write(client_frame(json.dumps(fields).encode()))

    def _request(self, start: str) -> bytes:
        self._key = base64.b64encode(os.urandom(16)).decode()
        return (
            "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {self._key}\r\n"
            "Sec-WebSocket-Protocol: hub.v1\r\n\r\n"
        ).encode()

    async def _opened(self, start: str) -> None:
        await super()._opened(start)
        if self.status == 101:
            await self.subscribe(start)

    async def subscribe(self, start: str) -> None:
        reply = await self.ask(type="subscribe", stream=self.stream, **{"from": start})
        if reply["type"] == "error":
            self.error = reply

    def _reset_parsers(self) -> None:
        self._frames = Frames()
        self._refusal = b""
        self.close_code = None

    def _begun(self, first: str) -> None:
        if self.status == 101:
            assert self.headers["sec-websocket-protocol"] == "hub.v1"
            magic = f"{self._key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(magic.encode()).digest()).decode()  # noqa: S324
            assert self.headers["sec-websocket-accept"] == accept

    def _body(self, piece: bytes) -> None:
        if self.status != 101:
            self._refusal += piece
            if len(self._refusal) == int(self.headers["content-length"]):
                self.error = json.loads(self._refusal)["error"]
                self.end = "whole"
            return
        for frame in self._frames.feed(piece):
            self._frame(frame)

    def _frame(self, frame: Frame) -> None:
        if frame.opcode == 8:
            self.close_code = int.from_bytes(frame.body[:2], "big")
            self.end = "whole"
            self.write(client_frame(frame.body[:2], 8))
            return
        if frame.opcode != 1:
            return
        told = json.loads(frame.body)
        kind = told["type"]
        if kind in ("ok", "error"):
            if self.position is None and "tail" in told:
                self.position = told["position"]  # of a subscription: its events follow at once
            self.replies[told.get("id")] = told
            self.answers += 1
        elif kind == "events":
            if told["stream"] == self.stream:
                self._commit(told["events"], told["position"], told.get("offsets"))
            else:
                self.others.append(told)
        elif kind == "draining":
            self.others.append(told)
        else:
            self._control(told)

    def _whole(self) -> bool:
        return False  # without a close frame it is a cut, whatever TCP says


class _Format(Protocol):
    """A push parser of one format."""

    def feed(self, piece: bytes) -> Iterator[Any]: ...


class HTTP(Reader):
    """`GET /v1/live/{name}`."""

    form: ClassVar[str]
    version: ClassVar[str] = "1.1"

    def _request(self, start: str) -> bytes:
        where = f"/v1/live/{self.stream}?format={self.form}&from={start}"
        return f"GET {where} HTTP/{self.version}\r\nHost: localhost\r\n\r\n".encode()

    def _reset_parsers(self) -> None:
        self._chunks = Chunks()
        self._parser = self._make_parser()
        self._refusal = b""

    @abstractmethod
    def _make_parser(self) -> _Format:
        """For one connection."""

    def _begun(self, first: str) -> None:
        assert first.startswith("HTTP/1.1 ") or self.version == "1.0"
        chunked = self.headers.get("transfer-encoding") == "chunked"
        assert chunked == (self.status == 200 and self.version == "1.1")
        if self.status == 204:
            self.end = "whole"
        if self.status == 200 and self.position is None and self.resumes:
            self.position = self.headers["stream-next-offset"]

    def _body(self, piece: bytes) -> None:
        if self.status != 200:
            self._refusal += piece
            if self._refusal and len(self._refusal) == int(self.headers["content-length"]):
                self.error = json.loads(self._refusal)["error"]
                self.end = "whole"
            return
        pieces = self._chunks.feed(piece) if self.version == "1.1" else [piece]
        for part in pieces:
            for told in self._parser.feed(part):
                self._told(told)
        if self._chunks.whole:
            self.end = "whole"

    async def _opened(self, start: str) -> None:
        await super()._opened(start)
        if self.status not in (200, 204):
            await self.until(lambda: self.end)

    def _whole(self) -> bool:
        return self.version == "1.0"  # the end of the connection is the end of the body

    @abstractmethod
    def _told(self, told: Any) -> None:
        """One item, as the parser gave it."""


class NDJSON(HTTP):
    name = "ndjson"
    form = "ndjson"

    def _make_parser(self) -> _Format:
        return Lines()

    def _told(self, told: Told) -> None:
        kind = told.get("type")
        if kind == "position":
            self._commit(self._pending, told["position"])
            self._pending = []
        elif kind in ("reset", "closed", "beat"):
            self._control(told)
        else:
            self._pending.append(told)


class JSON(NDJSON):
    name = "json"
    form = "json"

    def _make_parser(self) -> _Format:
        return Objects()

    def _body(self, piece: bytes) -> None:
        # A beat is white space, which no parser of JSON sees.
        self.beats += piece.endswith(b"1\r\n\n\r\n" if self.version == "1.1" else b"\n")
        super()._body(piece)


class SSE(HTTP):
    """Resumes as an ``EventSource`` does, by ``Last-Event-ID``."""

    name = "sse"
    form = "sse"

    def _request(self, start: str) -> bytes:
        request = super()._request("start" if start == self.position else start)
        if start != self.position:
            return request
        return request.removesuffix(b"\r\n") + f"Last-Event-ID: {start}\r\n\r\n".encode()

    def _make_parser(self) -> ServerEvents:
        return ServerEvents()

    def _body(self, piece: bytes) -> None:
        super()._body(piece)
        assert isinstance(self._parser, ServerEvents)
        self.beats += len(self._parser.comments)
        self._parser.comments.clear()

    def _told(self, told: ServerSent) -> None:
        held = json.loads(told.data)
        if told.event == "message":
            self._commit([held], told.last_id)
        else:
            assert held["type"] == told.event
            assert held["position"] == told.last_id
            self._control(held)


class Follow(HTTP):
    """`POST /v1/follow`, with one stream; what it is refused is in ``error``, under a 200."""

    name = "follow"
    form = "sse"

    def _request(self, start: str) -> bytes:
        self._answered = False
        body = json.dumps([{"stream": self.stream, "from": start}]).encode()
        return (
            f"POST /v1/follow?format={self.form} HTTP/{self.version}\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    def _make_parser(self) -> _Format:
        return ServerEvents()

    def _begun(self, first: str) -> None:
        assert self.status in (200, 429, 503)

    async def _opened(self, start: str) -> None:
        await super()._opened(start)
        await self.until(lambda: self._answered or self.end)

    def _told(self, told: Any) -> None:
        assert (told.event, told.last_id) == ("message", "")
        self._message(json.loads(told.data))

    def _message(self, told: Told) -> None:
        kind = told["type"]
        assert told.get("stream", self.stream) == self.stream
        if kind == "ok":
            assert not self._answered
            self._answered = True
            self.position = self.position or told["position"]
        elif kind == "error":
            self._answered, self.error = True, told
        elif kind == "events":
            self._commit(told["events"], told["position"], told.get("offsets"))
        elif kind != "draining":
            self._control(told)


class FollowLines(Follow):
    name = "follow ndjson"
    form = "ndjson"

    def _make_parser(self) -> _Format:
        return Lines()

    def _told(self, told: Any) -> None:
        self._message(told)


class Text(HTTP):
    """Knows no position, so that coming back it reads everything again."""

    name = "text"
    form = "text"
    resumes = False

    async def open(self, start: str | None = None) -> Self:
        if start is None:
            self.forget()
        return await super().open(start)

    def _make_parser(self) -> _Format:
        return _Characters()

    def _told(self, told: str) -> None:
        self._add(told)


class _Characters:
    """UTF-8; the hub never cuts a character between two frames, but TCP may."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, piece: bytes) -> Iterator[str]:
        self._held += piece
        try:
            text, self._held = self._held.decode(), b""
        except UnicodeDecodeError as cut:
            text, self._held = self._held[: cut.start].decode(), self._held[cut.start :]
            assert len(self._held) < 4
        yield text


class _Old:
    """HTTP/1.0: no chunks, and the end of the connection is the end of the body."""

    version = "1.0"


class OldSSE(_Old, SSE):
    name = "sse/1.0"


class OldNDJSON(_Old, NDJSON):
    name = "ndjson/1.0"


class OldJSON(_Old, JSON):
    name = "json/1.0"


class OldText(_Old, Text):
    name = "text/1.0"


class OldFollow(_Old, Follow):
    name = "follow/1.0"


DRIVERS: list[type[Reader]] = [
    WebSocket,
    SSE,
    NDJSON,
    JSON,
    Text,
    OldSSE,
    OldNDJSON,
    OldJSON,
    OldText,
    Follow,
    FollowLines,
    OldFollow,
]
