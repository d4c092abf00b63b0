"""A4 and P1: the disk is slow, readers have more than it, and the hub is killed in mid-delta.

All joined late, so they were sent many deltas as one, of which not all had been committed. Each
comes back by itself to the next process and has the text of the stream in the end.
"""

from __future__ import annotations

import asyncio
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from hub.client import Delta, Hub, Interrupted, Reset
from tests.clients.node import process
from tests.promises.test_faults import LOST, Server
from tests.support.patience import PATIENCE
from web.build import DIST, build

COMMIT: Final = 0.8
PACE: Final = 500
JOIN: Final = 1000
STREAM: Final = "chat"


class SlowServer(Server):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SLOW_DISK_SECONDS=str(COMMIT))
        self._config.write_text(
            f'[upstreams.demo]\ndialect = "demo"\noptions = {{ pace = {PACE} }}\n'
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def mend(self) -> None:
        """The next process has a quick disk."""
        self._environ["SLOW_DISK_SECONDS"] = "0"

    def command(self) -> list[str]:
        hub = [sys.executable, "-m", "tests.faults.slow_disk"]
        return [*hub, "serve", "--config", str(self._config)]


class Reader(ABC):
    """Follows until a reply is interrupted, over as many connections as that takes."""

    def __init__(self, server: SlowServer) -> None:
        self.server = server
        self.held: list[tuple[str, dict[str, Any]]] = []
        self.resets = 0
        self.merged = 0

    async def read(self) -> str:
        async with aiohttp.ClientSession(self.server.url) as session:
            while True:
                try:
                    async for position, event in self.heard(session):
                        if position and self.held:
                            step = _offset(position) - _offset(self.held[-1][0])
                            self.merged += step > 1
                        self.held.append((position, event))
                        if event["type"] == "interrupted":
                            return "".join(event.get("text", "") for _, event in self.held)
                except LOST:
                    pass
                await asyncio.sleep(0.02)

    @property
    def position(self) -> str:
        return self.held[-1][0] if self.held else "start"

    def forget(self, position: str) -> None:
        self.resets += 1
        self.held = [one for one in self.held if one[0] <= position]
        assert self.held, "the reader could have kept what came before a boundary"
        assert self.held[-1][0] == position, "the reader has no such place"

    @abstractmethod
    def heard(self, session: aiohttp.ClientSession) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """What one connection brings."""


class WebSocket(Reader):
    async def heard(
        self, session: aiohttp.ClientSession
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        async with session.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket_:
            asked = {"type": "subscribe", "stream": STREAM, "from": self.position}
            await socket_.send_json(asked)
            async for message in socket_:
                frame = message.json()
                if frame["type"] == "reset":
                    self.forget(frame["position"])
                elif frame["type"] == "events":
                    events, last = frame["events"], frame["position"]
                    first = _offset(last) - len(events) + 1
                    ends = frame.get("offsets", range(first, _offset(last) + 1))
                    for event, end in zip(events, ends, strict=True):
                        yield f"{last[:17]}{end:016}", event


class ServerSent(Reader):
    async def heard(
        self, session: aiohttp.ClientSession
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        async for fields in _blocks(session, f"/v1/live/{STREAM}?format=sse&from={self.position}"):
            if fields.get("event") == "reset":
                self.forget(fields["id"])
            elif "data" in fields:
                yield fields["id"], json.loads(fields["data"])


class Lines(Reader):
    """What comes between two positions is one thing to it."""

    async def heard(
        self, session: aiohttp.ClientSession
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        batch: list[dict[str, Any]] = []
        path = f"/v1/live/{STREAM}?format=ndjson&from={self.position}"
        async with session.get(path) as response:
            async for line in response.content:
                told = json.loads(line)
                if told["type"] == "reset":
                    self.forget(told["position"])
                elif told["type"] == "position":
                    for event in batch:
                        yield told["position"], event
                    batch = []
                elif told["type"] != "beat":
                    batch.append(told)


class Durable(Reader):
    """Is told by 410 that it cannot go on, and reads all of it again."""

    async def heard(
        self, session: aiohttp.ClientSession
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        start = self.position if self.held else "-1"
        batch: list[dict[str, Any]] = []
        path = f"/v1/stream/{STREAM}?offset={start}&live=sse"
        try:
            async for fields in _blocks(session, path):
                if fields.get("event") == "data":
                    batch = json.loads(fields["data"])
                elif fields.get("event") == "control":
                    position = json.loads(fields["data"])["streamNextOffset"]
                    for event in batch:
                        yield position, event
                    batch = []
        except aiohttp.ClientResponseError as error:
            if error.status != 410:
                raise AssertionError(error) from None
            self.resets += 1
            self.held = []


async def _blocks(session: aiohttp.ClientSession, path: str) -> AsyncIterator[dict[str, str]]:
    async with session.get(path) as response:
        response.raise_for_status()
        fields: dict[str, str] = {}
        async for line in response.content:
            name, _, value = line.decode().rstrip("\n").partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
            else:
                yield fields
                fields = {}


def _offset(position: str) -> int:
    return int(position[17:])


async def library(server: SlowServer, begun: asyncio.Event) -> tuple[str, int]:
    """`hub.client` comes back by itself."""
    held: list[tuple[str, str]] = []
    resets = 0
    async with Hub(server.url) as hub, hub.follow(STREAM) as events:
        async for event in events:
            if isinstance(event, Reset):
                resets += 1
                held = [one for one in held if one[0] <= event.position]
                assert held[-1][0] == event.position
            elif isinstance(event, Interrupted):
                break
            else:
                held.append((events.position, getattr(event, "text", "")))
                if isinstance(event, Delta) and event.text:
                    begun.set()
    return "".join(text for _, text in held), resets


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[SlowServer]:
    build()
    async with SlowServer(tmp_path) as running:
        yield running


async def test_every_reader_has_the_text_of_the_stream_after_a_kill_in_mid_delta(
    server: SlowServer,
) -> None:
    async with server.client.post(
        "/v1/generations", json={"prompt": "long", "stream": STREAM}
    ) as reply:
        assert reply.status == 201
    await _until_behind(server)
    readers = [kind(server) for kind in (WebSocket, ServerSent, Lines, Durable)]
    begun = asyncio.Event()
    given = {"client": (DIST / "client.js").as_uri(), "url": server.url + "/", "stream": STREAM}
    async with asyncio.timeout(PATIENCE), process("follows.mjs", given) as follower:
        reading = [asyncio.create_task(reader.read()) for reader in readers]
        reading_too = asyncio.create_task(library(server, begun))
        await asyncio.gather(_until_reading(readers), begun.wait(), follower.line())
        server.kill()
        server.mend()
        await server.start()
        texts = await asyncio.gather(*reading)
        text, resets = await reading_too
        shown = await follower.line()
    events = await server.events(STREAM)
    assert [event["type"] for event in events].count("interrupted") == 1
    there = "".join(event.get("text", "") for event in events)
    assert dict(zip([type(reader).__name__ for reader in readers], texts, strict=True)) == {
        type(reader).__name__: there for reader in readers
    }
    assert text == there
    assert there.removeprefix("long") == shown
    assert all(reader.resets for reader in readers), "nothing that was read was lost"
    assert resets
    assert sum(reader.merged for reader in readers), "nobody was sent what was merged"


async def _until_behind(server: SlowServer) -> None:
    """There are some boundaries that were committed, and some records that were not."""
    while await _tail(server) < JOIN:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.02)


async def _tail(server: SlowServer) -> int:
    async with server.client.head(f"/v1/stream/{STREAM}") as reply:
        return _offset(reply.headers["Stream-Next-Offset"])


async def _until_reading(readers: Sequence[Reader]) -> None:
    while not all(reader.held for reader in readers):  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.02)
