"""Readers: each follows one stream over one transport, through everything that happens.

A `Follower` does what its transport's rules say: it goes on from its position, or goes back
where it is told to. Some stop reading for a while, some drop their connection. Once ``calm``
they do neither, so that they can be compared with what is there.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from abc import ABC, abstractmethod
from random import Random
from typing import Any, Final, Literal, Self

import aiohttp

from hub.client import Hub, Reset
from hub.client.following import Following, Value
from hub.domain.errors import HubError
from hub.domain.events import to_json
from hub.domain.records import Position
from tests.faults.folds import Frame, View, difference, merged
from tests.faults.mortal import LOST, Mortal
from tests.faults.soak.told import Told
from tests.support.patience import PATIENCE
from tests.support.reader import Reader
from tests.support.reference_parsers import ServerEvents, ServerSent
from tests.support.transport_readers import JSON, NDJSON, SSE, Text, WebSocket

__all__ = ["Follower", "follower"]

Temper = Literal["steady", "fickle", "slow", "asleep"]
"""Stays; drops its connection now and then; stops reading for a while; for a long while."""

Live = Literal["", "long-poll", "sse"]
LIVE: Final[dict[str, Live]] = {"": "", "long-poll": "long-poll", "sse": "sse"}

AGAIN: Final = 0.7
"""Seconds until one asks again for a stream that is not there, or is closed."""

FIRST: Final = Position(0, 0)


class Follower(ABC):
    """One reader of one stream, from its first record on."""

    kind: str

    def __init__(self, hub: Mortal, stream: str, told: Told, temper: Temper, chance: Random):
        self.stream = stream
        self.temper = temper
        self.calm = False
        self.view = View()
        self._hub = hub
        self._told = told
        self._chance = chance

    @abstractmethod
    async def run(self) -> None:
        """Follow until cancelled."""

    def wrong(self, truth: list[Any]) -> str:
        """How what it has differs from what is there; empty if it does not."""
        wanted, got = merged(truth), merged(self.view.events)
        return "" if got == wanted else difference(got, wanted)

    def __str__(self) -> str:
        return f"{self.kind} ({self.temper}) of {self.stream} at {self.view.place}"

    def read(self, start: Position, end: Position, events: list[Any]) -> None:
        """It was sent events, from one position to another."""
        frame = Frame(start, end, events)
        if end < start or len(events) > end.offset - start.offset:
            self._told.violated("P1 order", f"{self}: {len(events)} events from {start} to {end}")
        self.view.frames.append(frame)
        self._told.figures["events delivered"] += len(events)
        self._told.note(self.stream, frame)
        if self.temper == "steady":
            self._measure(events)

    def _measure(self, events: list[Any]) -> None:
        """How long those that were just written took to come here, past all who read slowly."""
        now = time.monotonic()
        for event in events:
            sent = self._told.written.get(event.get("text", ""))
            if sent is not None:
                self._told.durations["delivery to a steady reader"].add(now - sent)

    def back(self, to: Position) -> Position:
        """It was told to go back; where it goes on."""
        self._told.figures["resets"] += 1
        at = self.view.place
        place = self.view.back(to)
        if place != to:
            said = f"{self}, which was at {at}, is sent to {to}, inside of what it was sent as one"
            self._told.violated("P1 reset into a merged delta", said)
        return place

    def restart(self) -> None:
        """It has to read everything again."""
        self._told.figures["resets"] += 1
        self.view.frames.clear()

    def came(self) -> None:
        self._told.figures["connections"] += 1

    def whim(self) -> float:
        """For how many seconds it stays as it is."""
        return self._chance.uniform(0.3, 5.0)


class _Folding(Reader):
    """A driver that has what it is told folded by a follower."""

    follower: Driven
    _left = False
    """It was sent back to where it could not go: what else this connection says is no use."""

    async def open(self, start: str | None = None) -> Self:
        self._left = False
        return await super().open(start)

    def _commit(self, events: list[Any], position: str, offsets: list[int] | None = None) -> None:
        if self._left:
            return
        assert self.position is not None, "events come before the position that they begin at"
        start, end = Position.parse(self.position), Position.parse(position)
        if offsets is None:
            self.follower.read(start, end, events)
        else:
            for event, offset in zip(events, offsets, strict=True):
                after = Position(end.epoch, offset)
                self.follower.read(start, after, [event])
                start = after
        self.position = position

    def _control(self, told: dict[str, Any]) -> None:
        if self._left:
            return
        if told["type"] != "reset":
            super()._control(told)
            return
        to = Position.parse(told["position"])
        place = self.follower.back(to)
        self.position = str(place)
        if place != to:
            self._left = True
            self.drop()


class _WebSocket(_Folding, WebSocket):
    def _commit(self, events: list[Any], position: str, offsets: list[int] | None = None) -> None:
        assert self.position is not None, "events come before the position that they begin at"
        end = Position.parse(position).offset
        if offsets is None and 0 < len(events) < end - Position.parse(self.position).offset:
            # The first of them alone was merged: the others are counted back from the end.
            offsets = [*range(end - len(events) + 1, end + 1)]
        super()._commit(events, position, offsets)


class _SSE(_Folding, SSE): ...


class _NDJSON(_Folding, NDJSON): ...


class _JSON(_Folding, JSON): ...


class Driven(Follower):
    """One of the drivers of `tests.support.transport_readers`: a socket of its own, which ends
    with an RST.
    """

    def __init__(self, driver: type[Reader], *given: Any) -> None:
        super().__init__(*given)
        self.kind = driver.name
        small = 4096 if self.temper in ("slow", "asleep") else None
        self.reader = driver(self._hub.port, self.stream, kernel_buffer=small)
        if isinstance(self.reader, _Folding):
            self.reader.follower = self

    async def run(self) -> None:
        while True:
            try:
                self.reader.closed = False
                async with asyncio.timeout(PATIENCE):
                    await self.reader.open()
                await self._opened()
            except (*LOST, KeyError):
                pass
            except AssertionError as wrong:
                self._told.violated("protocol", f"{self}: {wrong}")
            finally:
                self._told.figures["bytes delivered"] += self.reader.received
                self.reader.received = 0
                self.reader.drop()
            await asyncio.sleep(self._chance.uniform(0.01, 0.2))

    async def _opened(self) -> None:
        reader = self.reader
        code = reader.error.get("code")
        if reader.status in (101, 200) and not code:
            self.came()
            await self._stay()
            if reader.closed:
                await asyncio.sleep(AGAIN)  # for another stream of that name
        elif reader.status == 204 or code in ("stream_not_found", "stream_deleted"):
            await asyncio.sleep(AGAIN)
        elif code == "gone" and not reader.resumes:
            reader.forget()
        elif code:
            self._told.refused(reader.status, code, str(self))
            await asyncio.sleep(AGAIN)

    def _is_over(self) -> bool:
        """The connection has ended, or the stream has and the WebSocket says so."""
        reader = self.reader
        return bool(reader.end) or reader.closed or not reader.connected

    async def _stay(self) -> None:
        """Read, as it is its way, until the connection ends."""
        reader = self.reader
        while not self._is_over():
            if self.calm or self.temper == "steady":
                await self._until_over(1.0)
                continue
            await self._until_over(self.whim())
            if self._is_over() or self.calm:
                continue
            if self.temper == "fickle":
                return
            reader.pause()
            longest = 20.0 if self.temper == "asleep" else 2.0
            await self._sleep(self._chance.uniform(0.1, longest))
            if reader.connected:
                reader.resume()

    async def _until_over(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.reader.until(self._is_over)
        except TimeoutError:
            pass

    async def _sleep(self, seconds: float) -> None:
        while seconds > 0 and not self.calm:
            await asyncio.sleep(min(seconds, 0.5))
            seconds -= 0.5


class Plain(Driven):
    """Follows the text alone, and knows no position."""

    def wrong(self, truth: list[Any]) -> str:
        wanted = "".join(event.get("text", "") for event in truth if event["type"] == "delta")
        got = self.reader.text
        if got == wanted:
            return ""
        return f"{len(got)} characters, not {len(wanted)}: … {got[-100:]!r}"


class Durable(Follower):
    """The Durable Streams Protocol; ``bytes_`` if the stream holds no JSON."""

    def __init__(self, live: Live, bytes_: bool, *given: Any) -> None:
        super().__init__(*given)
        self.kind = f"durable {live or 'catch-up'}"
        self._live = live
        self._bytes = bytes_
        self._cursor = ""
        self._client: aiohttp.ClientSession

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
        async with aiohttp.ClientSession(self._hub.url, timeout=timeout) as self._client:
            while True:
                try:
                    await self._once()
                except LOST:
                    await asyncio.sleep(self._chance.uniform(0.01, 0.2))

    @property
    def _place(self) -> Position:
        return self.view.place or FIRST

    async def _once(self) -> None:
        query = {"offset": "-1" if self.view.place is None else str(self.view.place)}
        if self._live:
            query["live"] = self._live
        if self._cursor:
            query["cursor"] = self._cursor
        path = f"/v1/stream/{self.stream}"
        async with self._client.get(path, params=query) as reply:
            self.came()
            if reply.status in (200, 204):
                if self._live == "sse":
                    await self._follow(reply)
                else:
                    await self._take(reply)
                return
            code = (await reply.json())["error"]["code"]
            if code in ("position_unwritten", "position_trimmed"):
                self.restart()
            elif code in ("stream_not_found", "stream_deleted"):
                await asyncio.sleep(AGAIN)
            else:
                self._told.refused(reply.status, code, str(self))
                await asyncio.sleep(AGAIN)

    async def _take(self, reply: aiohttp.ClientResponse) -> None:
        body = await reply.read()
        end = Position.parse(reply.headers["Stream-Next-Offset"])
        self._cursor = reply.headers.get("Stream-Cursor", "")
        self._told.figures["bytes delivered"] += len(body)
        if reply.status == 200:
            self._have(end, [body] if self._bytes else json.loads(body))
        if not self._live and reply.headers.get("Stream-Up-To-Date") == "true":
            await asyncio.sleep(0.3 if self.calm else self.whim() / 3)
        elif "Stream-Closed" in reply.headers:
            await asyncio.sleep(AGAIN)

    async def _follow(self, reply: aiohttp.ClientResponse) -> None:
        coded = reply.headers.get("Stream-SSE-Data-Encoding") == "base64"
        parser = ServerEvents()
        held: list[Any] = []
        loop = asyncio.get_running_loop()
        leaves = loop.time() + self.whim() if self.temper == "fickle" else float("inf")
        async for piece in reply.content.iter_any():
            self._told.figures["bytes delivered"] += len(piece)
            for said in parser.feed(piece):
                if said.event == "data":
                    held += self._data(said, coded=coded)
                    continue
                control = json.loads(said.data)
                self._have(Position.parse(control["streamNextOffset"]), held)
                held = []
                self._cursor = control.get("streamCursor", "")
                if control.get("streamClosed"):
                    await asyncio.sleep(AGAIN)
                    return
            if loop.time() > leaves and not self.calm:
                return
            if self.temper in ("slow", "asleep") and not self.calm:
                await asyncio.sleep(self._chance.uniform(0.0, 0.5))

    def _data(self, said: ServerSent, *, coded: bool) -> list[Any]:
        if not self._bytes:
            return list(json.loads(said.data))
        return [base64.b64decode(said.data) if coded else said.data.encode()]

    def _have(self, end: Position, events: list[Any]) -> None:
        if not self._bytes:
            self.read(self._place, end, events)
        elif events or end != self._place:
            self.view.frames.append(Frame(self._place, end, events))

    def wrong(self, truth: list[Any]) -> str:
        if not self._bytes:
            return super().wrong(truth)
        got, wanted = b"".join(self.view.events), b"".join(truth)
        if got == wanted:
            return ""
        return f"{len(got)} bytes, not {len(wanted)}: … {got[-100:]!r} is not {wanted[-100:]!r}"


class ByClient(Follower):
    """`hub.client`."""

    kind = "hub.client"

    async def run(self) -> None:
        async with Hub(self._hub.url) as hub:
            while True:
                start = "start" if self.view.place is None else str(self.view.place)
                try:
                    async with hub.follow(self.stream, from_=start, wait=True) as following:
                        self.came()
                        await self._follow(following)
                        await asyncio.sleep(AGAIN)  # it has closed
                except TimeoutError:
                    pass
                except HubError as error:
                    if error.code not in ("hub_lost", "hub_unreachable", "stream_deleted"):
                        self._told.refused(0, error.code, str(self))
                    await asyncio.sleep(self._chance.uniform(0.1, AGAIN))

    async def _follow(self, following: Following) -> None:
        stays = self.whim() if self.temper == "fickle" and not self.calm else None
        async with asyncio.timeout(stays):
            async for event in following:
                position = Position.parse(following.position)
                if isinstance(event, Reset):
                    if self.back(position) != position:
                        return
                else:
                    held = event.value if isinstance(event, Value) else to_json(event)
                    self.read(self.view.place or FIRST, position, [held])


def follower(
    kind: str, hub: Mortal, stream: str, told: Told, temper: Temper, chance: Random
) -> Follower:
    """A reader over a transport; those of a stream of bytes are ``bytes``, ``bytes sse`` …"""
    given = (hub, stream, told, temper, chance)
    drivers: dict[str, type[Reader]] = {
        "websocket": _WebSocket,
        "sse": _SSE,
        "ndjson": _NDJSON,
        "json": _JSON,
    }
    if kind in drivers:
        return Driven(drivers[kind], *given)
    if kind == "text":
        return Plain(Text, *given)
    if kind == "client":
        return ByClient(*given)
    of, _, name = kind.partition(" ")
    return Durable(LIVE[name], of == "bytes", *given)
