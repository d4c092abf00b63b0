"""The list of streams: every one there is, once, in order, a page at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.errors import StreamNotFound
from hub.domain.events import Message
from hub.domain.generation_request import GenerationRequest
from hub.domain.records import Position
from hub.domain.stream_settings import StreamSettings
from hub.stores import Created, Listed
from hub.stores.memory import MemoryStore
from hub.stores.sqlite import SQLiteStore
from hub.streams import listing
from hub.streams.listing import SLICE, page
from hub.streams.stream import Stream
from tests.conftest import Running, StartHub
from tests.support.fake_stores import reading_connections
from tests.support.loop_rounds import Rounds
from tests.support.strategies import quick

Obj = dict[str, Any]
HELLO = Message("user", "Hello")


class Drawer(MemoryStore):
    """A store that has some names."""

    def __init__(self, names: set[str]) -> None:
        super().__init__()
        self.names = sorted(names)
        self.most = 0

    async def listed(self, prefix: str, after: str, limit: int, now: float) -> list[Listed]:
        found = [name for name in self.names if name > after and name.startswith(prefix)]
        self.most = max(self.most, limit)
        return [Listed(name, "in the store", Position(0, 0), False) for name in found[:limit]]


names = st.sets(st.text("ab", min_size=1, max_size=3), max_size=15)


@quick
@given(names, names, names, st.integers(1, 5), st.sampled_from(["", "a", "ab"]))
def test_every_name_comes_once_whatever_is_where(
    stored: set[str], warm: set[str], gone: set[str], limit: int, prefix: str
) -> None:
    """``warm`` are in memory, and ``gone`` too, but are not to be shown."""
    streams = {name: Stream(name) for name in warm | gone}
    store = Drawer(stored)

    async def pages() -> list[Listed]:
        found: list[Listed] = []
        more, after = True, ""
        while more:
            those, more = await page(
                store.listed,
                lambda: [(n, None if n in gone else s) for n, s in streams.items()],
                prefix,
                after,
                limit,
                0.0,
            )
            assert len(those) == limit or not more
            found += those
            after = those[-1].name if those else after
        return found

    found = asyncio.run(pages())
    assert [one.name for one in found] == sorted(
        name for name in (stored | warm) - gone if name.startswith(prefix)
    )
    assert all((one.content_type == "in the store") == (one.name not in warm) for one in found)
    assert store.most <= limit + 1


@pytest.fixture(params=["memory", "sqlite"])
async def running(start_hub: StartHub, request: pytest.FixtureRequest, tmp_path: Path) -> Running:
    url = "memory:" if request.param == "memory" else f"sqlite:{tmp_path / 'hub.db'}"
    return await start_hub(store={"url": url}, server={"list_streams": True})


async def ask(running: Running, query: str = "") -> Obj:
    response = await running.client.get(f"/v1/streams{query}")
    assert response.status == 200
    told: Obj = await response.json()
    return told


async def test_what_is_told_of_each(running: Running) -> None:
    hub = running.hub
    outcome = await hub.streams.append_to("chat/1", HELLO)
    await hub.streams.make("log", StreamSettings("text/plain"))
    stream = await hub.streams.open("log")
    stream.close()
    await stream.committed()
    begun = await hub.generations.start(GenerationRequest(prompt="stall", stream="chat/2"))
    first, second, third = (await ask(running))["streams"]
    assert first == {
        "name": "chat/1",
        "content_type": "application/json",
        "closed": False,
        "tail": str(outcome.position),
        "running": None,
    }
    assert (second["name"], second["running"]) == ("chat/2", begun.id)
    assert (third["name"], third["content_type"], third["closed"]) == ("log", "text/plain", True)
    await hub.generations.cancel(begun.id)
    assert (await ask(running, "?prefix=chat/2"))["streams"][0]["running"] is None


async def test_what_is_hidden_deleted_or_expired_is_not_there(running: Running) -> None:
    hub = running.hub
    for name in ("deleted", "hidden", "kept"):
        await hub.streams.append_to(name, HELLO)
    await hub.streams.fork("fork", "hidden")
    await hub.streams.delete("hidden")
    await hub.streams.delete("deleted")
    await hub.streams.create("expired", StreamSettings(expires_at="2020-01-01T00:00:00Z"))
    await hub.streams.create("later", StreamSettings(expires_at="2999-01-01T00:00:00Z"))
    told = [one["name"] for one in (await ask(running))["streams"]]
    assert told == ["fork", "kept", "later"]


async def test_page_by_page(running: Running) -> None:
    for number in range(7):
        await running.hub.streams.append_to(f"s{number}", HELLO)
    await running.hub.streams.append_to("zz", HELLO)
    seen, after, more = [], "", True
    while more:
        told = await ask(running, f"?prefix=s&limit=3&after={after}")
        more = told["more"]
        seen.append([one["name"] for one in told["streams"]])
        after = told.get("next", "")
    assert seen == [["s0", "s1", "s2"], ["s3", "s4", "s5"], ["s6"]]
    assert await ask(running, "?prefix=none") == {"streams": [], "more": False}
    assert await ask(running, "?after=zz") == {"streams": [], "more": False}


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=", "limit=١"]
)
async def test_a_limit_that_is_none_is_refused(running: Running, query: str) -> None:
    response = await running.client.get(f"/v1/streams?{query}")
    assert response.status == 400
    assert (await response.json())["error"]["code"] == "bad_limit"


@pytest.mark.parametrize("query", ["prefix=é", "after=%00", "prefix=%ff", "after=a%20b"])
async def test_what_no_name_begins_with_is_refused(running: Running, query: str) -> None:
    response = await running.client.get(f"/v1/streams?{query}")
    assert response.status == 400
    assert (await response.json())["error"]["code"] == "bad_name"


async def test_it_is_off_unless_it_is_turned_on(start_hub: StartHub) -> None:
    running = await start_hub()
    await running.hub.streams.append_to("secret", HELLO)
    response = await running.client.get("/v1/streams")
    assert response.status == 403
    told = await response.json()
    assert told["error"]["code"] == "listing_off"
    assert "secret" not in str(told)


async def test_after_a_restart_the_tail_is_where_a_reader_is_sent(
    start_hub: StartHub, tmp_path: Path
) -> None:
    tables: Obj = {
        "store": {"url": f"sqlite:{tmp_path / 'hub.db'}"},
        "server": {"list_streams": True},
    }
    first = await start_hub(**tables)
    for name in ("a", "b"):
        await first.hub.streams.append_to(name, HELLO)
    await first.hub.streams.committed()
    await first.client.close()
    second = await start_hub(**tables)
    told = (await ask(second))["streams"]
    assert second.hub.streams.held == 0, "none was read into memory"
    for one in told:
        response = await second.client.head(f"/v1/stream/{one['name']}")
        assert response.headers["Stream-Next-Offset"] == one["tail"]
    assert (await ask(second))["streams"] == told


async def test_of_very_many_only_a_page_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the plan that SQLite makes: the names come from their index, in their order."""
    opened = reading_connections(monkeypatch)
    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    for number in range(3000):
        store.note(Created(f"s{number:05}", StreamSettings(), ((0, 0),)))
    await store.synced()
    found = await store.listed("s0", "s01500", 1000, 0.0)
    assert [found[0].name, found[-1].name, len(found)] == ["s01501", "s02500", 1000]
    steps = 0

    def step(*_: object) -> bool:
        nonlocal steps
        steps += 1
        return False

    opened[0].set_progress_handler(step, 1000)
    assert len(await store.listed("", "s02900", 5, 0.0)) == 5
    assert len(await store.listed("s0299", "", 100, 0.0)) == 10
    assert len(await store.listed("s0299", "s02995", 100, 0.0)) == 4
    assert await store.listed("z", "", 100, 0.0) == []
    few = steps
    assert len(await store.listed("s", "", 1000, 0.0)) == 1000
    assert few <= 1 < steps, "the work is that of the page"
    await store.stop()


async def test_the_loop_serves_others_while_a_page_is_made() -> None:
    """With all streams in memory a page took 20 ms, and a request may look at several."""
    streams = {str(n): Stream(str(n)) for n in range(3 * SLICE)}
    with Rounds() as rounds:

        def in_memory() -> Iterator[tuple[str, Stream]]:
            for item in streams.items():
                rounds.note()
                yield item

        found, more = await page(Drawer(set()).listed, in_memory, "1", "10", 5, 0.0)
        assert rounds.most <= SLICE
    assert ([one.name for one in found], more) == (["100", "1000", "1001", "1002", "1003"], True)


async def test_a_stream_that_is_removed_while_a_page_is_made_is_not_in_it(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SLICE", 1)
    streams = (await start_hub()).hub.streams
    for name in "abcd":
        await streams.append_to(name, HELLO)

    async def next_turn() -> None:
        with suppress(StreamNotFound):
            await streams.delete("c")

    monkeypatch.setattr(listing, "next_turn", next_turn)
    found, _ = await streams.listed("", "", 10)
    assert [one.stream.name for one in found] == ["a", "b", "d"]
