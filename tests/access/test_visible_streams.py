"""A principal's list has all that it may list and nothing else, and costs what it shows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.access.permissions import Permissions
from hub.access.visible_streams import CURSOR, PAGE, ROWS, VisibleStreams
from hub.domain.errors import RequestError
from hub.domain.permissions import PERMISSIONS, Grant, StreamPattern
from hub.domain.principal import Principal
from hub.domain.records import Position
from hub.stores import Listed
from hub.stores.sqlite import SQLiteStore
from tests.conftest import Running, StartHub
from tests.support.fake_stores import reading_connections
from tests.support.people import auth, bearer
from tests.support.strategies import quick

MANY: Final = 100_000


class Table:
    """Some streams, and how many of them were looked at; in place of `Streams`."""

    def __init__(self, owners: dict[str, str | None]) -> None:
        self.owners = owners
        self.looked = 0

    async def listed(self, prefix: str, after: str, limit: int) -> tuple[list[Listed], bool]:
        return self._page([one for one in self.owners if one.startswith(prefix)], after, limit)

    async def owned(
        self, owner: str, prefix: str, after: str, limit: int
    ) -> tuple[list[Listed], bool]:
        names = [name for name, its in self.owners.items() if its == owner]
        return self._page([one for one in names if one.startswith(prefix)], after, limit)

    def _page(self, names: list[str], after: str, limit: int) -> tuple[list[Listed], bool]:
        found = [name for name in sorted(names) if name > after]
        self.looked += len(found[:limit])
        rows = [Listed(one, "", Position(0, 0), False, self.owners[one]) for one in found[:limit]]
        return rows, len(found) > limit


def visible(table: Table) -> VisibleStreams:
    held: Any = table
    return VisibleStreams(held, Permissions())


def grants(*patterns: str) -> tuple[Grant, ...]:
    return tuple(Grant(PERMISSIONS, StreamPattern.parse(one)) for one in patterns)


async def pages(of: VisibleStreams, by: Principal, prefix: str, limit: int) -> list[list[str]]:
    found: list[list[str]] = []
    after: str | None = ""
    while after is not None:
        those, after = await of.page(by, prefix, after, limit)
        found.append([one.name for one in those])
        assert len(found) <= 1000, "it never ends"
    return found


names = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
patterns = st.sampled_from(["**", "*", "a", "a/*", "a/**", "*/b", "b/**", "b/*/c", "a/b/**"])


@quick
@given(
    st.dictionaries(names, st.sampled_from([None, "ann", "bob"])),
    st.sets(patterns, max_size=4),
    st.one_of(st.none(), st.sets(patterns, max_size=3)),
    st.sampled_from(["", "a", "a/", "b/a"]),
    st.integers(1, 4),
)
def test_every_stream_that_may_be_listed_comes_once_and_in_order(
    owners: dict[str, str | None],
    granted: set[str],
    narrowed: set[str] | None,
    prefix: str,
    limit: int,
) -> None:
    within = None if narrowed is None else grants(*narrowed)
    by = Principal("ann", grants=grants(*granted), within=within)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("hub.access.visible_streams.ROWS", 3)
        patched.setattr("hub.access.visible_streams.PAGE", 2)
        found = asyncio.run(pages(visible(Table(owners)), by, prefix, limit))
    allows = Permissions().allows
    expected = [
        name
        for name, owner in sorted(owners.items())
        if name.startswith(prefix) and allows(by, "list", name, owner)
    ]
    assert [name for page in found for name in page] == expected
    assert all(len(page) <= limit for page in found)


async def test_of_a_hundred_thousand_streams_few_are_looked_at() -> None:
    """Rows are counted, for each kind of grant; the streams of others lie in between."""
    owners: dict[str, str | None] = {f"chat/u{number:05}/1": None for number in range(MANY)}
    owners |= {f"chat/u50000/{number}": None for number in range(2, 30)}
    owners |= {f"zz-{number:016}": "ann" for number in range(25)}
    for granted, limit, shown, most in (
        (grants("chat/u50000/**"), 100, 54, 60),
        (grants("chat/u50000/**"), 10, 10, 25),
        (grants("none/**"), 100, 25, 26),
        (grants("chat/u50000/7", "chat/u99999/*", "none/*"), 100, 27, 30),
        (grants("*/*/9"), 100, 0, ROWS + PAGE + 100),
        (grants(*(f"chat/u{number:05}/**" for number in range(500))), 100, 100, 300),
    ):
        table = Table(owners)
        by = Principal("ann", grants=granted)
        found, _ = await visible(table).page(by, "", "", limit)
        assert len(found) == shown, granted
        assert table.looked <= most, (granted, table.looked)


async def test_a_scan_that_ends_early_goes_on_and_names_nobody_elses_stream() -> None:
    owners: dict[str, str | None] = {f"a/{number:06}/news": None for number in range(3 * ROWS)}
    owners |= {"b/1/weather": None, "a/000001/weather": None}
    table = Table(owners)
    by = Principal("ann", grants=grants("*/*/weather"))
    streams = visible(table)
    first, following = await streams.page(by, "", "", 10)
    assert [one.name for one in first] == ["a/000001/weather"]
    assert following is not None
    assert following.startswith(CURSOR)
    assert "news" not in following
    assert [page for page in await pages(streams, by, "", 10) if page] == [
        ["a/000001/weather"],
        ["b/1/weather"],
    ]
    for other, prefix in ((Principal("bob", grants=by.grants), ""), (by, "a")):
        with pytest.raises(RequestError) as refused:
            await streams.page(other, prefix, following, 10)
        assert refused.value.code == "bad_cursor"


async def test_cursors_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.access.visible_streams.REMEMBERED", 2)
    monkeypatch.setattr("hub.access.visible_streams.ROWS", 1)
    owners: dict[str, str | None] = {f"a/{number}": None for number in range(9)}
    streams = visible(Table(owners))
    by = Principal("ann", grants=grants("*/none"))
    made = [(await streams.page(by, "", "", 1))[1] for _ in range(3)]
    assert made[0] is not None
    with pytest.raises(RequestError):
        await streams.page(by, "", made[0], 1)
    assert made[2] is not None
    await streams.page(by, "", made[2], 1)


async def test_nobody_has_the_cursors_of_others_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.access.visible_streams.REMEMBERED", 3)
    monkeypatch.setattr("hub.access.visible_streams.OF_ONE", 2)
    monkeypatch.setattr("hub.access.visible_streams.ROWS", 1)
    owners: dict[str, str | None] = {f"a/{number}": None for number in range(9)}
    streams = visible(Table(owners))
    ann, bob = (Principal(name, grants=grants("*/none")) for name in ("ann", "bob"))
    _, made = await streams.page(ann, "", "", 1)
    for _ in range(5):
        await streams.page(bob, "", "", 1)
    assert made is not None
    await streams.page(ann, "", made, 1)


async def test_ones_own_streams_are_found_by_their_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the plan that SQLite makes: the work is that of the page, not of the file."""
    opened = reading_connections(monkeypatch)
    file = tmp_path / "hub.db"
    store = SQLiteStore(file)
    await store.start()
    await store.stop()
    with apsw.Connection(str(file)) as database:
        database.executemany(
            "INSERT INTO streams (name, content_type, owner) VALUES (?, 'text/plain', ?)",
            ((f"s{n:06}", "ann" if n % 10_000 == 0 else "bob") for n in range(MANY)),
        )
    database.close()
    store = SQLiteStore(file)
    await store.start()
    assert len(await store.owned("ann", "", "", 100, 0.0)) == 10
    steps = 0

    def step(*_: object) -> bool:
        nonlocal steps
        steps += 1
        return False

    opened[-1].set_progress_handler(step, 1000)
    found = await store.owned("ann", "", "s050000", 100, 0.0)
    assert [one.name for one in found] == [f"s0{n}0000" for n in (6, 7, 8, 9)]
    assert [one.name for one in await store.owned("ann", "s01", "", 1, 0.0)] == ["s010000"]
    assert await store.owned("carl", "", "", 1, 0.0) == []
    assert steps <= 2
    await store.stop()


# Over HTTP


@pytest.fixture
async def hub(start_hub: StartHub) -> Running:
    news = {"who": "user", "match": "*/news", "can": ["list"]}
    return await start_hub(auth=auth(news), server={"list_streams": True})


async def test_a_cursor_goes_on_over_http(hub: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.access.visible_streams.ROWS", 2)
    monkeypatch.setattr("hub.access.visible_streams.PAGE", 2)
    for number in range(9):
        await hub.hub.streams.create(f"p{number}/secret")
    await hub.hub.streams.create("p8/news")
    seen, after, requests = [], "", 0
    while True:
        requests += 1
        params = {"after": after, "limit": "2"}
        async with hub.client.get("/v1/streams", params=params, headers=bearer("ann")) as said:
            assert said.status == 200
            told = await said.json()
        assert "secret" not in str(told)
        seen += [one["name"] for one in told["streams"]]
        if not told["more"]:
            break
        after = told["next"]
    assert (seen, requests > 2) == (["p8/news"], True)
    unknown = {"after": CURSOR + "x" * 22}
    async with hub.client.get("/v1/streams", params=unknown, headers=bearer("ann")) as said:
        assert (said.status, (await said.json())["error"]["code"]) == (400, "bad_cursor")


async def test_streams_in_memory_have_owners_too(hub: Running) -> None:
    for name, owner in (("anns", "ann"), ("bobs", "bob")):
        await hub.hub.streams.create(name, by=Principal(owner))
    async with hub.client.get("/v1/streams", headers=bearer("ann")) as said:
        assert [one["name"] for one in (await said.json())["streams"]] == ["anns"]
