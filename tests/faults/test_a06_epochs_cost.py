"""A6: what it costs to read a long stream is its records, however many lives wrote them.

A read of the store was thrown away beyond the end of the life that it began in, so its cost was
that of the history times its lives: 11,409 records of 133 epochs took 3.7 s for every prompt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast
from unittest.mock import patch

import apsw
import pytest

from hub.domain.conversation import Conversation
from hub.domain.epochs import MOST
from hub.domain.events import Delta, Event, Finished, Message, Started, encode
from hub.domain.generation_request import GenerationRequest
from hub.domain.records import Record
from hub.domain.stream_settings import JSON, StreamSettings
from hub.stores import Appended, Change, Closed, Created, Raised
from hub.stores.sqlite import SQLiteStore
from hub.stores.sqlite.reader import Reader
from tests.conftest import Running, StartHub

RECORDS: Final = 6000
LIVES: Final = 150
TURN: Final = 40
OPENED: Final = 300
"""Records that come with a stream when it is opened: the newest 16 KB."""


def written(at: int) -> Event:
    turn, place = divmod(at, TURN)
    if place == 0:
        return Message("user", f"Question {turn}")
    if place == 1:
        return Started(f"gen_{turn}", "demo")
    return Finished(f"gen_{turn}") if place == TURN - 1 else Delta(f"gen_{turn}", text=f"<{at}>")


def stream(name: str, *, closed: bool, content_type: str = JSON) -> Iterator[Change]:
    yield Created(name, StreamSettings(content_type), ((1, 0),))
    for at in range(RECORDS):
        if at and at % (RECORDS // LIVES) == 0:
            yield Raised(name, 1 + at, at)
        yield Appended(name, Record(at, encode(written(at)), None))
    if closed:
        yield Closed(name)


class Rows:
    """How many rows of records the store's reader has read."""

    def __init__(self) -> None:
        self.count = 0
        self.reads = 0
        self._walk = Reader.read_parts

    def walk(self, reader: Reader, *asked: Any) -> list[Record]:
        found = self._walk(reader, *asked)
        self.count += len(found)
        self.reads += 1
        return found


@pytest.fixture
def rows() -> Iterator[Rows]:
    rows = Rows()

    def walk(*asked: Any) -> list[Record]:
        return rows.walk(*asked)

    with patch.object(Reader, "read_parts", walk):
        yield rows


@pytest.fixture
async def hub(start_hub: StartHub, tmp_path: Path) -> Running:
    path = tmp_path / "hub.db"
    store = SQLiteStore(path)
    await store.start()
    for change in stream("open", closed=False):
        store.note(change)
    for change in stream("closed", closed=True):
        store.note(change)
    for change in stream("text", closed=True, content_type="text/plain"):
        store.note(change)
    await store.stop()
    with apsw.Connection(str(path)) as database:
        count = database.execute("SELECT count(*) FROM epochs WHERE stream > 0").get
    assert count == 3 * LIVES
    return await start_hub(store={"url": f"sqlite:{path}"})


def once(rows: Rows) -> bool:
    return RECORDS - OPENED <= rows.count <= RECORDS * 1.1


async def test_all_of_a_stream_is_read_once(hub: Running, rows: Rows) -> None:
    events = [event async for event in (await hub.hub.streams.open("open")).events()]
    assert events == [written(at) for at in range(RECORDS)]
    assert once(rows)
    assert rows.reads < LIVES


async def test_a_prompt_reads_what_was_said_once(hub: Running, rows: Rows) -> None:
    generation = await hub.hub.generations.start(
        GenerationRequest(stream="open", prompt="And then?")
    )
    await hub.hub.generations.cancel(generation.id)
    assert once(rows)
    assert rows.reads < LIVES


@pytest.mark.parametrize("form", ["sse", "ndjson", "json", "text"])
async def test_whoever_follows_a_stream_from_its_start_reads_it_once(
    form: str, hub: Running, rows: Rows
) -> None:
    async with hub.client.get(f"/v1/live/closed?format={form}") as response:
        body = await response.text()
    assert all(f"<{at}>" in body for at in range(2, TURN - 1))
    assert body.count("<") == RECORDS // TURN * (TURN - 3)
    assert once(rows)


@pytest.mark.parametrize("name", ["closed", "text"])
async def test_a_durable_streams_client_reads_it_once(name: str, hub: Running, rows: Rows) -> None:
    start, size = "-1", 0
    while True:
        async with hub.client.get(f"/v1/stream/{name}?offset={start}") as response:
            assert response.status == 200
            start = response.headers["Stream-Next-Offset"]
            size += (await response.text()).count('"type":')
            if "Stream-Closed" in response.headers:
                break
    assert size == RECORDS
    assert once(rows)
    assert rows.reads < LIVES


async def test_twenty_who_follow_it_at_once_read_it_about_as_often_as_one(
    hub: Running, rows: Rows
) -> None:
    async def follow() -> int:
        async with hub.client.get("/v1/live/closed?format=ndjson") as response:
            body = await response.text()
        return body.count("<")

    told = await asyncio.gather(*(follow() for _ in range(20)))
    assert set(told) == {RECORDS // TURN * (TURN - 3)}
    assert rows.count <= RECORDS * 3


async def test_a_conversation_is_the_same_read_as_bodies_or_as_events() -> None:
    events = [written(at) for at in range(200)]
    bodies = [encode(event) for event in events]
    strange = [
        b"7",
        b'"text"',
        b"not json",
        b'{"type":"delta","generation":"gen_1","text":7}',
        b'{"type":"delta","generation":7,"text":"x"}',
        b'{"type":"delta","generation":"gen_1","text":"more","reasoning":"why"}',
        b'{"type":"delta","generation":"gen_1","note":1}',
        b'{"type":"message","role":"nobody","text":"x"}',
    ]
    one, other = Conversation(), Conversation()
    for event in events:
        one.take(event)
    one.take(Delta("gen_1", text="more", reasoning="why"))
    other.read(bodies)
    other.read(strange)
    other.read([])
    assert one.messages() == other.messages()


# How many there are


def epochs(path: Path, name: str) -> list[tuple[int, int]]:
    with apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY) as database:
        found = database.execute(
            "SELECT epoch, first FROM epochs JOIN streams ON id = stream WHERE name = ?"
            " ORDER BY epoch",
            (name,),
        ).fetchall()
    return [(cast("int", epoch), cast("int", first)) for epoch, first in found]


async def test_lives_of_which_nothing_is_left_are_not_kept(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    store.note(Created("s", StreamSettings(), ((1, 0), (2, 0), (4, 0))))
    await store.synced()
    assert epochs(tmp_path / "hub.db", "s") == [(4, 0)]
    for at, (epoch, first) in enumerate([(5, 0), (6, 0), (9, 1), (9, 1), (11, 1), (12, 2)]):
        store.note(Raised("s", epoch, first))
        store.note(Appended("s", Record(at, b"{}", None)))
    await store.stop()
    assert epochs(tmp_path / "hub.db", "s") == [(6, 0), (11, 1), (12, 2)]


async def test_the_file_keeps_a_bounded_number_of_lives(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    store.note(Created("s", StreamSettings(), ((1, 0),)))
    for at in range(1, MOST + 50):
        store.note(Appended("s", Record(at - 1, b"{}", None)))
        if at % 50 == 0 or at > MOST - 20:
            store.note(Raised("s", at, at))
    with patch("hub.domain.epochs.MOST", 10):
        await store.stop()
    kept = epochs(tmp_path / "hub.db", "s")
    assert len(kept) == 10
    assert kept[-1] == (MOST + 49, MOST + 49)
    # The oldest that is left begins where the very first did.
    assert kept[0] == (MOST + 40, 0)
