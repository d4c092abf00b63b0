"""An upstream on loopback that does exactly what its script says, and may lie.

It is made of raw sockets, because no web framework will send half a chunk, a wrong
length, a status without a reason or a reset. One server serves any number of requests,
each answered by the next script::

    async with Scripted() as upstream:
        upstream.answers(Answer(*openai_sse("Hel", "lo")), refusal(429, "slow down"))
        ...                                       # the code under test calls upstream.url
        assert upstream.requests[0].json["stream"] is True

The client has the time to read each piece of bytes by itself, so the pieces of a script
are what it sees as single reads.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, cast

from tests.support.patience import PATIENCE
from tests.support.upstream_answers import (
    Answer,
    Coding,
    Ending,
    Framing,
    Gate,
    Step,
    Wire,
    ollama_ndjson,
    openai_block,
    openai_sse,
    refusal,
)

__all__ = [
    "Answer",
    "Coding",
    "Ending",
    "Framing",
    "Gate",
    "Request",
    "Scripted",
    "Step",
    "ollama_ndjson",
    "openai_block",
    "openai_sse",
    "refusal",
]


@dataclass(eq=False)
class Request:
    """One request as it arrived, and what became of it.

    ``at`` and ``gone`` are monotonic seconds: when the request was whole, and when the
    upstream saw that the client had left in the middle of the answer. ``sent`` counts the
    bytes of the answer that the kernel has taken.
    """

    method: str
    target: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    at: float = field(default_factory=time.monotonic)
    gone: float | None = None
    sent: int = 0
    _left: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _answered: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    async def left(self) -> float:
        """When the client left, as soon as it has."""
        async with asyncio.timeout(PATIENCE):
            await self._left.wait()
        assert self.gone is not None
        return self.gone

    async def answered(self) -> None:
        """Return when all of the answer has been sent, and read by a client in this loop."""
        async with asyncio.timeout(PATIENCE):
            await self._answered.wait()

    def mark_answered(self) -> None:
        self._answered.set()

    def mark_gone(self) -> None:
        if self.gone is None:
            self.gone = time.monotonic()
            self._left.set()


class Scripted:
    """The server. ``url`` is its address; ``requests`` are those that came, in order.

    Leaving it raises what went wrong on this side: a request that no script was left for,
    or one that could not be read.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.connections = 0  # how many were ever accepted
        self._tls = tls
        self._scripts: dict[str, deque[Answer]] = {}
        self._open: set[_Connection] = set()
        self._faults: list[Exception] = []
        self._arrival = asyncio.Condition()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", 0, ssl=self._tls
        )
        host, port = self._server.sockets[0].getsockname()
        self.url = f"{'https' if self._tls else 'http'}://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in list(self._open):
            connection.abort()
        for connection in list(self._open):
            await connection.ended.wait()
        await self._server.wait_closed()
        if self._faults and exc is None:
            raise self._faults[0]

    def answers(self, *answers: Answer, under: str = "") -> str:
        """Queue answers for the next requests whose path begins with ``under``.

        Returns the URL of that path, so that tests running at once keep apart.
        """
        self._scripts.setdefault(under, deque()).extend(answers)
        return self.url + under

    async def alone(self) -> None:
        """Return when no connection is open."""
        async with asyncio.timeout(PATIENCE):
            for connection in list(self._open):
                await connection.ended.wait()

    async def request(self, number: int = 0) -> Request:
        """The request with this number, as soon as it has arrived."""
        async with asyncio.timeout(PATIENCE), self._arrival:
            await self._arrival.wait_for(lambda: len(self.requests) > number)
        return self.requests[number]

    async def _take(self, request: Request) -> Answer:
        async with self._arrival:
            self.requests.append(request)
            self._arrival.notify_all()
        fitting = [under for under in self._scripts if request.target.startswith(under)]
        queue = self._scripts[max(fitting, key=len)] if fitting else None
        if not queue:
            raise AssertionError(f"no script is left for {request.method} {request.target}")
        return queue.popleft()


class _Connection(asyncio.Protocol):
    """One accepted connection: reads requests, plays answers, notices when it is left."""

    def __init__(self, server: Scripted) -> None:
        self.ended = asyncio.Event()
        self._server = server
        self._unread = bytearray()
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._taken.set()
        self._request: Request | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not of that class
        # So that written means: the kernel has it. Not 0, at which TLS pauses for ever.
        self._transport.set_write_buffer_limits(high=1, low=0)
        self._server.connections += 1
        self._server._open.add(self)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def data_received(self, data: bytes) -> None:
        self._unread += data
        self._arrived.set()

    def pause_writing(self) -> None:
        self._taken.clear()

    def resume_writing(self) -> None:
        self._taken.set()

    def eof_received(self) -> None:
        self._client_left()  # returning None lets the transport close itself

    def connection_lost(self, exc: Exception | None) -> None:
        self._client_left()
        self._task.cancel()

    def abort(self) -> None:
        self._request = None
        self._transport.abort()

    def _client_left(self) -> None:
        if self._request is not None:
            self._request.mark_gone()

    async def _run(self) -> None:
        try:
            while not self._transport.is_closing():
                request = await self._read()
                answer = await self._server._take(request)
                self._request = request
                await self._play(answer, request)
                self._request = None
                request.mark_answered()
        except Exception as exc:  # the test must hear of it, whatever it is
            self._server._faults.append(exc)
            self._transport.abort()
        finally:
            self._server._open.discard(self)
            self.ended.set()

    async def _read(self) -> Request:
        while (end := self._unread.find(b"\r\n\r\n")) < 0:
            await self._more()
        first, *lines = self._unread[:end].decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        start = end + 4
        end = start + int(headers.get("content-length", 0))
        while len(self._unread) < end:
            await self._more()
        body = bytes(self._unread[start:end])
        del self._unread[:end]
        method, target, _ = first.split(" ")
        return Request(method, target, headers, body)

    async def _more(self) -> None:
        self._arrived.clear()
        await self._arrived.wait()

    async def _play(self, answer: Answer, request: Request) -> None:
        wire = Wire(answer)
        await self._send(wire.head(), request)
        for step in answer.steps:
            if isinstance(step, bytes):
                await self._send(wire.piece(step), request)
            elif isinstance(step, Gate):
                await step.passed()
            elif isinstance(step, Ending):
                return await self._leave(step)
            else:
                await asyncio.sleep(step)
        await self._send(wire.end(), request)
        if answer.framing == "close":
            await self._leave(Ending.CLOSE)
        return None

    async def _send(self, piece: bytes, request: Request) -> None:
        if not piece:
            return
        self._transport.write(piece)
        await self._taken.wait()
        request.sent += len(piece)
        # Sockets are polled between two turns of the loop and read in the second, so
        # after two turns a client in the same loop has read this piece by itself.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def _leave(self, ending: Ending) -> None:
        if ending is Ending.HANG:
            await asyncio.Event().wait()  # until the client leaves, which cancels this
        self._request = None
        if ending is Ending.CLOSE:
            self._transport.close()
            return
        held: socket.socket = self._transport.get_extra_info("socket")
        # To linger for zero seconds is to send an RST in place of a FIN.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
