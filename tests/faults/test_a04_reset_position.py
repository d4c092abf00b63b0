"""A4: a reset leads to a place that the reader has, whatever it was sent as one event.

Who lags is sent many deltas as one. A crash then un-wrote records inside such a delta, the reset
led there, and a client that did as it was told, and forgot the event, had 0 of 498 letters left.

Here a reader has all of ``all`` and comes back for ``lost-N``, which is the same stream after a
crash that took all but N records, and which went on since: for every N, from every place between
two events. A stream is a fork for half of them, so that it begins in another's records.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from hub.client import Hub, Reset, SyncHub
from hub.domain.events import Delta, Message, encode
from hub.domain.records import Position, Record
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores import Appended, Change, Closed, Created, Raised
from hub.stores.sqlite import SQLiteStore
from tests.clients.node import process
from tests.conftest import StartHub
from web.build import DIST, build

Client = TestClient[Any, Any]

FIRST: Final = 5 * 10**15
"""An epoch above that of the hub which serves the streams."""

SPAN: Final = 8
RECORDS: Final = 27
SOURCE: Final = 5
ALL: Final = "all"


class Held(NamedTuple):
    """One event that a reader has, and the position that it was told after it."""

    position: str
    text: str


Read = Callable[[Client, str, list[Held]], Awaitable[list[Held]]]


def offset(position: str) -> int:
    return int(position[17:])


def forget(held: Iterable[Held], position: str) -> list[Held]:
    """As a client does that knows nothing of positions, but that they sort."""
    kept = [one for one in held if one.position <= position]
    there = kept[-1].position if kept else position
    assert there == position, "the reader has no such place"
    assert kept or offset(position) == 0
    return kept


def text(held: Iterable[Held]) -> str:
    return "".join(one.text for one in held)


# The streams


def said(at: int, life: int) -> Message | Delta:
    if at == 0:
        return Message("user", "?")
    return Delta("g", text=f"<{at}>" if life == 1 else f"[{at}]")


def records(start: int, end: int, life: int = 1) -> list[Record]:
    events = [said(at, life) for at in range(start, end)]
    return [Record(at, encode(event), event) for at, event in enumerate(events, start=start)]


def lost(kept: int) -> str:
    return f"lost-{kept}"


def right(kept: int) -> str:
    first = "".join(said(at, 1).text for at in range(kept))
    return first + "".join(said(at, 2).text for at in range(kept, kept + 3))


def streams() -> Iterator[Change]:
    yield Created(ALL, StreamSettings(), ((FIRST, 0),))
    yield from (Appended(ALL, record) for record in records(0, RECORDS))
    yield Closed(ALL)
    for kept in range(1, RECORDS + 1):
        name, begun = lost(kept), 0
        fork = None
        if kept % 2 and kept > SOURCE:
            fork, begun = Fork(ALL, SOURCE), SOURCE
        yield Created(name, StreamSettings(fork=fork), ((FIRST, 0),))
        yield from (Appended(name, record) for record in records(begun, kept))
        yield Raised(name, FIRST + 1, kept)
        yield from (Appended(name, record) for record in records(kept, kept + 3, life=2))
        yield Closed(name)


@pytest.fixture
async def client(start_hub: StartHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr("hub.frames.coalesce.SPAN", SPAN, raising=False)
    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    for change in streams():
        store.note(change)
    await store.stop()
    running = await start_hub(store={"url": f"sqlite:{tmp_path / 'hub.db'}"})
    return running.client


# The readers


async def websocket(client: Client, stream: str, held: list[Held]) -> list[Held]:
    start = held[-1].position if held else "start"
    async with client.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket_:
        await socket_.send_json({"type": "subscribe", "stream": stream, "from": start})
        while True:
            frame = await socket_.receive_json()
            if frame["type"] == "closed":
                return held
            if frame["type"] == "reset":
                held = forget(held, frame["position"])
            elif frame["type"] == "events":
                events, last = frame["events"], frame["position"]
                first = offset(last) - len(events) + 1
                ends = frame.get("offsets", range(first, offset(last) + 1))
                for event, end in zip(events, ends, strict=True):
                    held.append(Held(f"{last[:17]}{end:016}", event["text"]))


async def event_stream(client: Client, stream: str, held: list[Held]) -> list[Held]:
    for name, position, data in _server_sent(await _live(client, stream, "sse", held)):
        if name == "reset":
            held = forget(held, position)
        elif name == "":
            held.append(Held(position, data["text"]))
    return held


def _server_sent(body: str) -> Iterator[tuple[str, str, Any]]:
    for block in body.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "data" in fields:
            yield fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"])


async def _live(client: Client, stream: str, form: str, held: Sequence[Held]) -> str:
    start = held[-1].position if held else "start"
    path = f"/v1/live/{stream}?format={form}&from={start}"
    async with client.get(path) as response:
        assert response.status in (200, 204)
        return await response.text()


async def ndjson(client: Client, stream: str, held: list[Held]) -> list[Held]:
    body = await _live(client, stream, "ndjson", held)
    return _placed(map(json.loads, body.splitlines()), held)


async def objects(client: Client, stream: str, held: list[Held]) -> list[Held]:
    body, decoder, found = await _live(client, stream, "json", held), json.JSONDecoder(), []
    while body:
        value, end = decoder.raw_decode(body)
        found.append(value)
        body = body[end:].lstrip()
    return _placed(found, held)


def _placed(lines: Iterable[Any], held: list[Held]) -> list[Held]:
    """What comes between two positions is one thing to the reader."""
    texts: list[str] = []
    for line in lines:
        if line["type"] == "position":
            held.append(Held(line["position"], "".join(texts)))
            texts.clear()
        elif line["type"] == "reset":
            held = forget(held, line["position"])
        elif line["type"] != "closed":
            texts.append(line["text"])
    return held


def durable(live: str) -> Read:
    """Answers are arrays, so the reader counts records; nothing tells it a reset but a 410."""

    async def read(client: Client, stream: str, held: list[Held]) -> list[Held]:
        start = held[-1].position if held else "-1"
        while True:
            async with client.get(f"/v1/stream/{stream}?offset={start}{live}") as response:
                if response.status == 410:
                    held = await _back(response, held)
                    start = held[-1].position if held else "-1"
                    continue
                assert response.status in (200, 204)
                start = response.headers["Stream-Next-Offset"]
                if "sse" in live:
                    held += _controlled(await response.text(), start)
                    return held
                if response.status == 200:
                    held += _counted(await response.json(), start)
                if "Stream-Closed" in response.headers:
                    return held

    return read


async def _back(response: ClientResponse, held: list[Held]) -> list[Held]:
    error = (await response.json())["error"]
    assert error["code"] == "position_unwritten"
    back = next(word for word in error["message"].split() if "_" in word)
    return [one for one in held if offset(one.position) <= offset(back)]


def _counted(events: Sequence[Any], last: str) -> list[Held]:
    first = offset(last) - len(events) + 1
    return [Held(f"{last[:17]}{end:016}", event["text"]) for end, event in enumerate(events, first)]


def _controlled(body: str, start: str) -> list[Held]:
    held: list[Held] = []
    events: list[Any] = []
    for block in body.split("\n\n"):
        lines = dict(line.split(":", 1) for line in block.split("\n") if ":" in line)
        if lines.get("event") == " data":
            events = json.loads(lines["data"])
        elif lines.get("event") == " control":
            held += _counted(events, json.loads(lines["data"])["streamNextOffset"])
            events = []
    return held


async def library(client: Client, stream: str, held: list[Held]) -> list[Held]:
    start = held[-1].position if held else "start"
    async with Hub(str(client.make_url("/"))) as hub, hub.follow(stream, from_=start) as events:
        async for event in events:
            held = _took(held, event, events.position)
    return held


def _took(held: list[Held], event: object, position: str) -> list[Held]:
    if isinstance(event, Reset):
        return forget(held, event.position)
    assert isinstance(event, Message | Delta)
    return [*held, Held(position, event.text)]


async def blocking(client: Client, stream: str, held: list[Held]) -> list[Held]:
    url = str(client.make_url("/"))
    start = held[-1].position if held else "start"

    def read() -> list[Held]:
        kept = held
        with SyncHub(url) as hub, hub.follow(stream, from_=start) as events:
            for event in events:
                kept = _took(kept, event, events.position)
        return kept

    return await asyncio.to_thread(read)


DURABLE: Final = {
    "durable": durable(""),
    "durable long-poll": durable("&live=long-poll"),
    "durable sse": durable("&live=sse"),
}
READERS: Final[dict[str, Read]] = {
    "websocket": websocket,
    "sse": event_stream,
    "ndjson": ndjson,
    "json": objects,
    **DURABLE,
    "hub.client": library,
    "hub.client.SyncHub": blocking,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
async def test_whoever_comes_back_after_a_crash_has_what_there_is(
    read: Read, client: Client
) -> None:
    whole = await read(client, ALL, [])
    assert text(whole) == "?" + "".join(f"<{at}>" for at in range(1, RECORDS))
    if read not in DURABLE.values():
        assert len(whole) < RECORDS, "nobody was sent what was merged"
    for kept in range(1, RECORDS + 1):
        for count in range(1, len(whole) + 1):
            now = await read(client, lost(kept), whole[:count])
            assert text(now) == right(kept), f"{count} events, {kept} records kept"


def at(life: int, end: int) -> str:
    return str(Position(life, end))


async def test_hub_client_bears_a_hub_that_knows_no_boundaries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It forgets all of an event that a reset leads into, and asks for it again."""
    monkeypatch.setattr("hub.client.backoff.FIRST_WAIT", 0.001)
    asked: list[str] = []
    answers: list[list[tuple[str, str | None]]] = [
        [(at(1, 1), "?"), (at(1, 6), "abcde")],
        [(at(1, 3), None), (at(2, 4), "never heard")],
        [(at(1, 3), "ab"), (at(2, 4), "x"), ("", None)],
    ]

    async def live(request: web.Request) -> web.StreamResponse:
        asked.append(request.query["from"])
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.headers["Stream-Next-Offset"] = at(1, 0) if len(asked) == 1 else asked[-1]
        await response.prepare(request)
        for position, said in answers[len(asked) - 1]:
            told = {"type": "delta", "text": said}
            named = ""
            if said is None:
                named = "reset" if position else "closed"
                told = {"type": named, "position": position, "reason": "unwritten"}
            block = f"event: {named}\nid: {position}\ndata: {json.dumps(told)}\n\n"
            await response.write(block.encode())
        assert request.transport is not None
        request.transport.close()
        return response

    app = web.Application()
    app.router.add_get("/v1/live/s", live)
    held: list[Held] = []
    async with (
        TestServer(app) as server,
        Hub(str(server.make_url("/"))) as hub,
        hub.follow("s") as following,
    ):
        async for event in following:
            held = _took(held, event, following.position)
    assert text(held) == "?abx"
    assert asked == ["start", at(1, 6), at(1, 1)]


async def test_plain_text_that_cannot_be_gone_on_with_is_refused(client: Client) -> None:
    """It has no word for a reset: who has read what is no more is told so by the status."""
    whole = await websocket(client, ALL, [])
    for kept in range(1, RECORDS + 1):
        for one in whole:
            path = f"/v1/live/{lost(kept)}?format=text&from={one.position}"
            async with client.get(path) as response:
                if offset(one.position) > kept:
                    assert response.status == 410
                    continue
                assert response.status == 200
                before = [held for held in whole if held.position <= one.position]
                assert text(before) + await response.text() == right(kept)


async def test_a_view_that_cannot_be_gone_on_with_is_refused_and_begins_anew(
    client: Client,
) -> None:
    """Its chunks are not the records, so there is none to go back to but the first."""
    whole = await websocket(client, ALL, [])
    for kept in range(1, RECORDS + 1):
        path = f"/api/chat/{lost(kept)}"
        for one in whole:
            async with client.get(f"{path}?offset={one.position}") as response:
                assert response.status == (410 if offset(one.position) > kept else 200)
        async with client.get(f"{path}?offset=-1") as response:
            assert response.status == 200


@pytest.mark.parametrize("via", ["websocket", "sse"])
async def test_whoever_comes_back_to_the_library_of_the_page_has_what_there_is(
    via: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Node has no WebSocket of its own before version 22: it falls back as a browser would."""
    flag = "--experimental-websocket" if via == "websocket" else "--no-experimental-websocket"
    monkeypatch.setenv("NODE_OPTIONS", flag)
    build()
    given = {
        "client": (DIST / "client.js").as_uri(),
        "url": str(client.make_url("/")),
        "all": ALL,
        "streams": [lost(kept) for kept in range(1, RECORDS + 1)],
    }
    async with process("resets.mjs", given) as reader:
        found = await reader.lines()
    assert len(found) == RECORDS
    for kept, one in enumerate(found, start=1):
        assert set(one["texts"]) == {right(kept)}, one["stream"]
        assert one["via"] == via
