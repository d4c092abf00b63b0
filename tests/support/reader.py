"""A reader: what one client has been told of one stream, over whatever transport.

It is made of a raw socket, so that it can misbehave: vanish from the network, stop reading,
have a receive buffer so small that the hub soon finds out. The transports are in
``readers.py``.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self, cast

from tests.support.patience import PATIENCE

__all__ = ["Reader", "Told"]

End = Literal["", "whole", "cut"]
Told = dict[str, Any]


class _Link(asyncio.Protocol):
    """One TCP connection of a reader; after `cut` it says nothing to it any more."""

    def __init__(self, reader: Reader) -> None:
        self._reader: Reader | None = reader

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not of that class

    def data_received(self, data: bytes) -> None:
        if self._reader is not None:
            self._reader.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reader is not None:
            self._reader.lost(reset=exc is not None)

    def cut(self) -> None:
        """Go away with an RST, as when the machine or its network is gone."""
        self._reader = None
        held: socket.socket = self.transport.get_extra_info("socket")
        if not self.transport.is_closing():
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class Reader(ABC):
    """What one client has been told of one stream, over any number of connections.

    ``status`` and ``error`` are those of the last attempt to open; ``end`` is how the last
    connection ended: ``whole`` if it said so itself, else ``cut``.
    """

    name: ClassVar[str]
    resumes: ClassVar[bool] = True
    """It knows its position, and can say where it wants to go on."""

    def __init__(self, port: int, stream: str, *, kernel_buffer: int | None = None) -> None:
        self.stream = stream
        self.events: list[Told] = []
        self.length = 0
        self.position: str | None = None
        self.resets: list[Told] = []
        self.closed = False
        self.beats = 0
        self.frames = 0
        self.received = 0
        self.status = 0
        self.headers: dict[str, str] = {}
        self.error: Told = {}
        self.end: End = ""
        self._port = port
        self._kernel_buffer = kernel_buffer
        self._pending: list[Told] = []
        self._texts: list[str] = []
        self._link: _Link | None = None
        self._head: bytes | None = b""
        self._fault: BaseException | None = None
        self._news = asyncio.Event()

    async def open(self, start: str | None = None) -> Self:
        """Connect, and read from ``start``; left out, go on from where it was."""
        self.end = ""
        self._head = b""
        self._pending = []
        self.error, self.status, self._fault = {}, 0, None
        self._reset_parsers()
        made = socket.socket()
        if self._kernel_buffer is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._kernel_buffer)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._kernel_buffer)
        made.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(made, ("127.0.0.1", self._port))
        except BaseException:
            made.close()
            raise
        link = _Link(self)
        await loop.create_connection(lambda: link, sock=made)
        self._link = link
        link.transport.write(self._request(start or self.position or "start"))
        await self._opened(start or self.position or "start")
        return self

    async def until(self, holds: Callable[[], object], *, within: float | None = PATIENCE) -> None:
        """Wait until something holds, looked at whenever anything has come; ``None``: for ever."""
        async with asyncio.timeout(within):
            while True:
                if self._fault is not None:
                    raise self._fault
                if holds():
                    return
                self._news.clear()
                await self._news.wait()

    def drop(self) -> None:
        """Be gone from the network."""
        if self._link is not None:
            self._link.cut()
            self._link = None
        self._pending = []

    def move(self, port: int) -> None:
        """Go to another hub with the next `open`."""
        self._port = port

    def pause(self) -> None:
        """Stop reading; the connection stays."""
        assert self._link is not None
        self._link.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        assert self._link is not None
        self._link.transport.resume_reading()

    @property
    def text(self) -> str:
        """The text of all deltas; ``length`` is how long it is."""
        self._texts = ["".join(self._texts)]
        return self._texts[0]

    def forget(self) -> None:
        """Begin anew, as after a reset that takes back everything."""
        self.events, self._texts, self.length = [], [], 0

    @property
    def connected(self) -> bool:
        """There is a connection, as far as this side knows."""
        return self._link is not None

    @property
    def unsent(self) -> int:
        """Bytes written here that the kernel has not taken, because the hub reads no more."""
        assert self._link is not None
        return self._link.transport.get_write_buffer_size()

    def write(self, sent: bytes) -> None:
        """Send bytes as they are."""
        assert self._link is not None
        self._link.transport.write(sent)

    # Called by the link

    def receive(self, piece: bytes) -> None:
        """Bytes have come. A parser's complaint is raised in `until`."""
        self.received += len(piece)
        try:
            self._receive(piece)
        except BaseException as fault:
            self._fault = fault
            self.drop()
        self._news.set()

    def lost(self, *, reset: bool) -> None:
        """The connection has ended."""
        self._link = None
        if not self.end:
            self.end = "whole" if not reset and self._whole() else "cut"
        self._news.set()

    # For each transport

    @abstractmethod
    def _request(self, start: str) -> bytes:
        """What is sent to follow from ``start``."""

    async def _opened(self, start: str) -> None:
        await self.until(lambda: self.status or self.end)

    @abstractmethod
    def _reset_parsers(self) -> None:
        """A new connection begins: what was half read before is none of its."""

    @abstractmethod
    def _body(self, piece: bytes) -> None:
        """What came after the head."""

    @abstractmethod
    def _whole(self) -> bool:
        """The end of the connection, come now, is the end of what there was to say."""

    # What is told

    def _receive(self, piece: bytes) -> None:
        if self._head is None:
            self._body(piece)
            return
        self._head += piece
        head, found, rest = self._head.partition(b"\r\n\r\n")
        if found:
            self._head = None
            first, *lines = head.decode("latin-1").split("\r\n")
            self.headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
            self.status = int(first.split(" ")[1])
            self._begun(first)
            self._body(rest)

    @abstractmethod
    def _begun(self, first: str) -> None:
        """The head of the answer has come."""

    def _commit(self, events: list[Told], position: str, offsets: list[int] | None = None) -> None:
        """Events, and the position after them; ``offsets`` after each, if some were merged."""
        del offsets
        if self.position is not None:
            assert position >= self.position, "positions never go back but by a reset"
        self.frames += 1
        self.events += events
        self.position = position
        self._add("".join(event.get("text", "") for event in events if _is_delta(event)))

    def _add(self, text: str) -> None:
        self._texts.append(text)
        self.length += len(text)

    def _control(self, told: Told) -> None:
        """Something that is not an event of the stream."""
        kind = told["type"]
        if kind == "reset":
            self.resets.append(told)
            self.position = told["position"]
        elif kind == "closed":
            self.closed = True
            self.position = told["position"]
        elif kind == "beat":
            self.beats += 1
        else:
            raise AssertionError(f"not known to a reader: {told}")


def _is_delta(event: Told) -> bool:
    return event.get("type") == "delta"
