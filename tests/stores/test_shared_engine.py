"""One contract, kept by every engine that several hubs write through.

What each operation does once, twice, out of turn and after a loss. Two engines stand for two hubs:
what one does the other finds, and hears of. The servers are real ones, which are killed and
emptied.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from itertools import count, islice

import pytest

from hub.domain.errors import (
    Conflict,
    Gone,
    ProducerFenced,
    ProducerGap,
    RequestError,
    StoreError,
    StreamBusy,
    StreamClosed,
    StreamNotFound,
)
from hub.domain.producers import Stamp
from hub.domain.records import Position
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores import GenerationLocation, Listed
from hub.stores.shared import (
    Claim,
    Entry,
    Notice,
    SharedEngine,
    SourceHold,
    State,
    Tick,
    Written,
    join,
    node_topic,
)
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.redis_server import KINDS
from tests.support.shared_servers import Opening, SharedServer, at, code_of, hear, kept

BYTES = StreamSettings("application/octet-stream")
LIMIT = 1024 * 1024
MANY = 12


@pytest.fixture(params=[*KINDS, "cluster", "coordinator"])
def server_kind(request: pytest.FixtureRequest) -> str:
    """A cluster keeps the contract, too."""
    return str(request.param)


# Beginning and writing


async def test_create_begins_a_stream_once(engine: SharedEngine, other: SharedEngine) -> None:
    written, before = await engine.create("s", BYTES, [b"1", b"2"], close=True)
    assert (at(written), before) == ((2, True, False), None)
    settings = StreamSettings("text/plain", owner="x")
    again, before = await other.create("s", settings, [b"3"])
    assert (at(again), before) == ((2, True, True), BYTES)
    assert again.epoch == written.epoch
    assert await kept(other, "s") == [b"1", b"2"]


async def test_all_settings_come_back(engine: SharedEngine) -> None:
    expiring = StreamSettings("text/plain; charset=utf-8", ttl=60, owner="acme/ann")
    until = StreamSettings("application/json", expires_at="2999-01-01T00:00:00Z")
    for name, settings in (("a", expiring), ("Grüße 👋/{b}", until)):
        await engine.create(name, settings)
        found = await engine.load(name, LIMIT)
        assert (found.settings, found.settings.owner) == (settings, settings.owner)


async def test_offsets_go_on_whoever_writes(engine: SharedEngine, other: SharedEngine) -> None:
    await engine.create("s", BYTES)
    texts = [b"%d" % number for number in range(MANY)]
    done = await asyncio.gather(
        *(
            (engine if number % 2 else other).write("s", [text, b"-"])
            for number, text in enumerate(texts)
        )
    )
    held = await kept(engine, "s")
    assert len(held) == 2 * MANY
    assert [held[one.tail - 2] for one in done] == texts


async def test_what_is_not_there_is_not_written_to(engine: SharedEngine) -> None:
    for deed in (
        engine.write("s", [b"1"]),
        engine.load("s", LIMIT),
        engine.read("s", 0, LIMIT),
        engine.delete("s"),
        engine.touch("s"),
        engine.hold(SourceHold("s", "f"), 0),
        engine.release(SourceHold("s", "f")),
        engine.cancel("s", "g"),
        engine.begin("s", "g", "n", 0, [b"1"]),
    ):
        with pytest.raises(StreamNotFound):
            await deed


async def test_only_the_stream_that_is_meant_is_written_to(engine: SharedEngine) -> None:
    first, _ = await engine.create("s", BYTES)
    await engine.delete("s")
    second, _ = await engine.create("s", BYTES)
    assert second.epoch > first.epoch
    with pytest.raises(StreamNotFound):
        await engine.write("s", [b"1"], born=first.epoch)
    with pytest.raises(StreamNotFound):
        await engine.delete("s", born=first.epoch)
    assert at(await engine.write("s", [b"1"], born=second.epoch)) == (1, False, False)
    assert await engine.delete("s", born=second.epoch) is None


async def test_a_producer_is_as_in_one_process(engine: SharedEngine, other: SharedEngine) -> None:
    await engine.create("s", BYTES)
    for number in range(3):
        assert (await engine.write("s", [b"1"], stamp=Stamp("a:b", 1, number))).number == number
    again = await other.write("s", [b"1"], stamp=Stamp("a:b", 1, 0))
    assert (at(again), again.number) == ((3, False, True), 2)
    with pytest.raises(ProducerFenced) as fenced:
        await other.write("s", [b"1"], stamp=Stamp("a:b", 0, 3))
    assert fenced.value.epoch == 1
    with pytest.raises(ProducerGap) as gap:
        await other.write("s", [b"1"], stamp=Stamp("a:b", 1, 4))
    assert (gap.value.expected, gap.value.received) == (3, 4)
    with pytest.raises(ProducerGap):
        await other.write("s", [b"1"], stamp=Stamp("new", 5, 1))
    with pytest.raises(RequestError, match="start at 0"):
        await other.write("s", [b"1"], stamp=Stamp("a:b", 2, 1))
    assert at(await other.write("s", [b"2"], stamp=Stamp("a:b", 2, 0))) == (4, False, False)
    assert (await engine.load("s", LIMIT)).producers == {"a:b": (2, 0)}


async def test_one_append_that_comes_many_times_is_written_once(
    engine: SharedEngine, other: SharedEngine
) -> None:
    await engine.create("s", BYTES)
    stamp = Stamp("p", 0, 0)
    done = await asyncio.gather(
        *((engine, other)[n % 2].write("s", [b"1", b"2"], stamp=stamp) for n in range(MANY))
    )
    assert sorted(one.duplicate for one in done) == [False] + [True] * (MANY - 1)
    assert {(one.tail, one.number) for one in done} == {(2, 0)}
    assert await kept(engine, "s") == [b"1", b"2"]


async def test_a_stream_has_only_so_many_producers(opening: Opening) -> None:
    engine = await opening(max_producers=2)
    await engine.create("s", BYTES)
    for name in ("a", "b"):
        await engine.write("s", [b"1"], stamp=Stamp(name, 0, 0))
    with pytest.raises(Conflict) as refused:
        await engine.write("s", [b"1"], stamp=Stamp("c", 0, 0))
    assert refused.value.code == "too_many_producers"
    assert "the stream has 2 producers" in refused.value.message
    await engine.write("s", [b"1"], stamp=Stamp("a", 0, 1))


async def test_nobody_takes_all_producers_of_a_stream_of_somebody_else(opening: Opening) -> None:
    engine = await opening(max_producers=6)
    await engine.create("s", replace(BYTES, owner="a%1"))
    for number in range(3):
        await engine.write("s", [b"1"], stamp=Stamp(f"ann\n{number}", 0, 0))
    with pytest.raises(Conflict) as refused:
        await engine.write("s", [b"1"], stamp=Stamp("ann\nmore", 0, 0))
    assert refused.value.code == "too_many_producers"
    assert "your producers" in refused.value.message
    await engine.write("s", [b"1"], stamp=Stamp("ann\n0", 0, 1))
    for number in range(2):
        await engine.write("s", [b"1"], stamp=Stamp(f"bob{number}\n0", 0, 0))
    await engine.write("s", [b"1"], stamp=Stamp("a%1\n0", 0, 0))
    await engine.create("own", replace(BYTES, owner="ann"))
    for number in range(6):
        await engine.write("own", [b"1"], stamp=Stamp(f"ann\n{number}", 0, 0))


@pytest.mark.parametrize(
    ("old", "new"), [("a", "a"), ("b", "a"), ("a", ""), ("ä", "z"), ("a", "B")]
)
async def test_a_sequence_rises_byte_by_byte(engine: SharedEngine, old: str, new: str) -> None:
    await engine.create("s", BYTES)
    await engine.write("s", [b"1"], sequence=old)
    assert await code_of(engine.write("s", [b"2"], sequence=new)) == "stream_seq"
    assert at(await engine.write("s", [b"2"], sequence=old + "0")) == (2, False, False)
    assert (await engine.load("s", LIMIT)).sequence == old + "0"


async def test_a_close_is_for_good_and_may_come_again(
    engine: SharedEngine, other: SharedEngine
) -> None:
    await engine.create("s", BYTES)
    stamp = Stamp("p", 0, 0)
    written = await engine.write("s", [b"1"], stamp=stamp, close=True)
    assert at(written) == (1, True, False)
    assert at(await other.write("s", [b"1", b"2"], stamp=stamp, close=True)) == (1, True, True)
    assert at(await other.write("s", [], close=True)) == (1, True, True)
    with pytest.raises(StreamClosed) as refused:
        await other.write("s", [b"1"])
    assert refused.value.position == str(Position(written.epoch, 1))
    assert await code_of(other.write("s", [b"1"], stamp=Stamp("p", 0, 1))) == "stream_closed"
    found = await other.load("s", LIMIT)
    assert (found.closed, found.closed_by) == (True, stamp)


async def test_any_bytes_come_back_from_any_offset(engine: SharedEngine) -> None:
    texts = [bytes(range(256)), b"", b"\0", "👋".encode(), b"x" * 300_000, b"}{"]
    await engine.create("s", BYTES, texts[:2])
    for text in texts[2:]:
        await engine.write("s", [text])
    for offset in range(len(texts) + 1):
        assert await kept(engine, "s", offset) == texts[offset:]


async def test_a_load_has_the_newest_records_only(engine: SharedEngine) -> None:
    await engine.create("s", BYTES)
    for number in range(200):
        await engine.write("s", [b"%03d" % number])
    found = await engine.load("s", 70)
    assert (found.head, found.tail, found.change) == (0, 200, 201)
    assert 10 <= sum(len(entry.bodies) for entry in found.entries) <= 70 // 3 + 1
    assert join(found.entries, 190) == [b"%03d" % number for number in range(190, 200)]
    assert len(join((await engine.load("s", LIMIT)).entries, 0)) == 200


async def test_the_oldest_records_go_and_the_offsets_stay(opening: Opening) -> None:
    engine = await opening(max_records=5)
    await engine.create("s", BYTES)
    for number in range(4):
        await engine.write("s", [b"%d" % (3 * number + part) for part in range(3)])
    found = await engine.load("s", LIMIT)
    assert (found.head, found.tail) == (7, 12)
    assert found.entries[0].first <= 7, "the one with the head is kept"
    assert await kept(engine, "s", 7) == [b"7", b"8", b"9", b"10", b"11"]
    assert await kept(engine, "s", 5) == []


# Deleting and forking


async def test_a_fork_has_its_sources_records_as_long_as_it_lives(
    engine: SharedEngine, other: SharedEngine
) -> None:
    source, _ = await engine.create("s", BYTES, [b"1", b"2", b"3"])
    assert await engine.hold(SourceHold("s", "f"), 2)
    settings = StreamSettings(BYTES.content_type, fork=Fork("s", 2))
    made, _ = await engine.create("f", settings, [b"x"], epochs=[(source.epoch, 0)])
    assert made.tail == 3
    assert made.epoch > source.epoch
    assert await kept(other, "f") == [b"1", b"2", b"x"]
    found = await other.load("f", LIMIT)
    assert found.epochs == ((source.epoch, 0), (made.epoch, 2))
    assert (await other.load("s", LIMIT)).forks == 1
    assert await other.delete("s") is None
    assert await code_of(engine.write("s", [b"4"])) == "stream_deleted"
    with pytest.raises(Gone):
        await engine.create("s", BYTES)
    assert await kept(engine, "f") == [b"1", b"2", b"x"]
    assert await engine.delete("f") == SourceHold("s", "f")
    assert await engine.release(SourceHold("s", "f")) is None
    with pytest.raises(StreamNotFound):
        await engine.load("s", LIMIT)


async def test_a_fork_that_is_made_again_keeps_its_source_when_the_one_before_is_released(
    engine: SharedEngine, other: SharedEngine
) -> None:
    source, _ = await engine.create("s", BYTES, [b"1", b"2"])

    async def fork(token: str) -> None:
        made = StreamSettings("", fork=Fork("s", 2, token))
        await other.create("f", made, [b"own"], epochs=[(source.epoch, 0)])

    assert await other.hold(SourceHold("s", "f", "first"), 2)
    await fork("first")
    before = await engine.delete("f")
    assert before is not None
    assert await other.hold(SourceHold("s", "f", "second"), 2)
    assert await engine.release(before) is None
    await fork("second")
    assert await engine.release(before) is None, "also if it is late"
    await engine.delete("s")
    assert await kept(engine, "f") == [b"1", b"2", b"own"]
    after = await other.delete("f")
    assert after is not None
    await other.release(after)
    with pytest.raises(StreamNotFound):
        await engine.load("s", 0)


async def test_a_fork_of_a_fork_reads_through_both(engine: SharedEngine) -> None:
    await engine.create("a", BYTES, [b"a0", b"a1", b"a2"])
    await engine.hold(SourceHold("a", "b"), 2)
    await engine.create("b", StreamSettings("", fork=Fork("a", 2)), [b"b2", b"b3"])
    await engine.hold(SourceHold("b", "c"), 3)
    await engine.create("c", StreamSettings("", fork=Fork("b", 3)), [b"c3"])
    assert await kept(engine, "c") == [b"a0", b"a1", b"b2", b"c3"]
    await engine.hold(SourceHold("b", "early"), 1)
    await engine.create("early", StreamSettings("", fork=Fork("b", 1)), [b"e1"])
    assert await kept(engine, "early") == [b"a0", b"e1"]


async def test_a_source_is_released_with_its_last_fork_and_its_own_source(
    engine: SharedEngine,
) -> None:
    await engine.create("a", BYTES, [b"1"])
    await engine.hold(SourceHold("a", "b"), 1)
    await engine.create("b", StreamSettings("", fork=Fork("a", 1)))
    for fork in ("c", "d"):
        await engine.hold(SourceHold("b", fork), 1)
    await engine.delete("b")
    assert await engine.release(SourceHold("b", "c")) is None
    assert await kept(engine, "b") == [b"1"]
    further = await engine.release(SourceHold("b", "d"))
    assert further == SourceHold("a", "b"), "which is released in turn"


async def test_a_fork_is_only_held_where_there_are_records(opening: Opening) -> None:
    engine = await opening(max_records=2)
    await engine.create("s", BYTES)
    await engine.write("s", [b"1", b"2", b"3"])
    for offset, held in ((0, False), (1, True), (3, True), (4, False)):
        assert await engine.hold(SourceHold("s", f"f{offset}"), offset) is held
    await engine.write("s", [b"4", b"5"])
    assert (await engine.load("s", LIMIT)).head == 3
    assert await kept(engine, "s", 1) == [b"2", b"3", b"4", b"5"], "for the forks"


def beside(engine: SharedEngine, stream: str) -> str:
    """Another name in the partition of a stream: their epochs are of one clock."""
    names = (str(number) for number in count())
    return next(name for name in names if engine.partition(name) == engine.partition(stream))


async def test_a_fork_of_a_name_that_was_used_before_does_not_go_on_from_there(
    engine: SharedEngine,
) -> None:
    fork = beside(engine, "s")
    source, _ = await engine.create("s", BYTES, [b"1", b"2"])
    first, _ = await engine.create(fork, BYTES, [b"x", b"y"])
    assert first.epoch >= source.epoch
    await engine.delete(fork)
    await engine.hold(SourceHold("s", fork), 2)
    settings = StreamSettings("", fork=Fork("s", 2))
    made, _ = await engine.create(fork, settings, epochs=[(source.epoch, 0)])
    assert (await engine.load(fork, LIMIT)).epochs == ((made.epoch, 0),)


async def test_a_fork_of_a_name_that_has_expired_does_not_go_on_from_there(
    engine: SharedEngine,
) -> None:
    fork = beside(engine, "s")
    source, _ = await engine.create("s", BYTES, [b"1", b"2"])
    await engine.create(fork, BYTES, [b"x", b"y"], expires=round(time.time() * 1000) + 50)
    async with asyncio.timeout(PATIENCE):
        while await engine.find(fork, LIMIT) is not None:  # noqa: ASYNC110 - it says nothing
            await asyncio.sleep(0.05)
    await engine.hold(SourceHold("s", fork), 2)
    settings = StreamSettings("", fork=Fork("s", 2))
    made, _ = await engine.create(fork, settings, epochs=[(source.epoch, 0)])
    assert (await engine.load(fork, LIMIT)).epochs == ((made.epoch, 0),)


async def test_a_fork_goes_on_from_its_source_whatever_other_names_were_used(
    engine: SharedEngine,
) -> None:
    """Also names of its own partition, in which they are remembered together."""
    source, _ = await engine.create("s", BYTES, [b"1", b"2"])
    names = (str(number) for number in count())
    beside = (name for name in names if engine.partition(name) == engine.partition("f"))
    for name in islice(beside, 3):
        await engine.create(name, BYTES, [b"x"])
        await engine.delete(name)
    await engine.create(next(beside), BYTES, expires=4_000_000_000_000)
    await engine.hold(SourceHold("s", "f"), 2)
    settings = StreamSettings("", fork=Fork("s", 2))
    made, _ = await engine.create("f", settings, epochs=[(source.epoch, 0)])
    assert (await engine.load("f", LIMIT)).epochs == ((source.epoch, 0), (made.epoch, 2))


# Listing and owners


async def names(engine: SharedEngine, *words: str, limit: int = 1000, **more: str) -> list[str]:
    prefix, after = [*words, "", ""][:2]
    return [one.name for one in await engine.listed(prefix, after, limit, **more)]


async def test_streams_are_listed_by_name_in_pages(
    engine: SharedEngine, other: SharedEngine
) -> None:
    wanted = sorted([f"a{number:03}" for number in range(150)] + ["a", "b", "Grüße 👋", "c/d"])
    for name in wanted:
        await engine.create(name, StreamSettings("text/plain", owner="o"), [b"1"])
    assert await names(other) == wanted
    assert await names(other, "a0") == [f"a0{number:02}" for number in range(100)]
    found: list[str] = []
    while page := await names(other, "a", found[-1] if found else "", limit=20):
        assert len(page) <= 20
        found += page
    assert found == [name for name in wanted if name.startswith("a")]
    assert await names(other, "", "c/d") == []
    assert await names(other, "a", "b") == []
    (one,) = await other.listed("b", "", 10)
    held = await engine.load("b", LIMIT)
    assert one == Listed("b", "text/plain", Position(held.epoch, 1), closed=False, owner="o")
    await engine.begin("b", "gen_1", "n", 1, [b"2"])
    (one,) = await other.listed("b", "", 10)
    assert one.running == "gen_1"


async def test_what_is_gone_or_hidden_is_not_listed(engine: SharedEngine) -> None:
    for name in ("deleted", "hidden", "closed"):
        await engine.create(name, StreamSettings(owner="o"))
    await engine.create("expired", StreamSettings(owner="o"), expires=1)
    await engine.delete("deleted")
    await engine.hold(SourceHold("hidden", "f"), 0)
    await engine.delete("hidden")
    await engine.write("closed", [], close=True)
    for owner in (None, "o"):
        (one,) = await engine.listed("", "", 10, owner)
        assert (one.name, one.closed) == ("closed", True)


async def test_a_stream_belongs_to_one_owner_at_a_time(
    engine: SharedEngine, other: SharedEngine
) -> None:
    heard = await hear(other, "s")
    await engine.create("s", StreamSettings(owner="acme/ann", creator="acme/ann"))
    await engine.create("t", StreamSettings(owner="acme/anna"))
    await engine.create("u", StreamSettings())
    assert await names(other, owner="acme/ann") == ["s"]
    await engine.set_owner("s", "acme/anna")
    assert await names(other, owner="acme/ann") == []
    assert await names(other, owner="acme/anna") == ["s", "t"]
    assert await names(other, "s", owner="acme/anna") == ["s"]
    assert await names(other, "", "s", owner="acme/anna") == ["t"]
    assert (await other.load("s", LIMIT)).settings.owner == "acme/anna"
    await engine.set_owner("s", None)
    assert await names(other, owner="acme/anna") == ["t"]
    settings = (await other.load("s", LIMIT)).settings
    assert (settings.owner, settings.creator) == (None, "acme/ann")
    await eventually(lambda: len(heard) == 3)
    assert [one.owner for one in heard] == [None, "acme/anna", ""]


# Expiry


async def test_a_stream_expires_with_everything_of_it(engine: SharedEngine) -> None:
    first, _ = await engine.create("s", StreamSettings(ttl=1), [b"1"], expires=4_000_000_000_000)
    # At once: the first of them lets it expire in a second.
    await asyncio.gather(
        engine.write("s", [b"2"], stamp=Stamp("p", 0, 0)),
        engine.begin("s", "g", "n", 2, [b"3"]),
    )
    async with asyncio.timeout(PATIENCE):
        while await engine.find("s", LIMIT) is not None:  # noqa: ASYNC110 - it says nothing
            await asyncio.sleep(0.05)
    assert await code_of(engine.load("s", LIMIT)) == "stream_not_found"
    assert await engine.locate("g") is None
    second, _ = await engine.create("s", BYTES)
    assert second.epoch > first.epoch, "readers of the first one are told"
    found = await engine.load("s", LIMIT)
    assert (found.entries, found.producers, found.running) == ([], {}, None)


async def test_a_touch_and_a_write_postpone_the_expiry(engine: SharedEngine) -> None:
    await engine.create("s", StreamSettings(ttl=1000), expires=4_000_000_000_000)
    first = (await engine.load("s", LIMIT)).expires
    assert first == 4_000_000_000_000
    assert at(await engine.touch("s")) == (0, False, False)
    second = (await engine.load("s", LIMIT)).expires
    assert second is not None
    assert second < first, "the server's clock counts"
    await asyncio.sleep(0.002)
    await engine.write("s", [b"1"])
    third = (await engine.load("s", LIMIT)).expires
    assert third is not None
    assert third > second


async def test_what_expires_while_it_has_forks_is_as_if_it_was_deleted(
    engine: SharedEngine, other: SharedEngine
) -> None:
    settings = StreamSettings(ttl=1, owner="o")
    await engine.create("s", settings, [b"1"], expires=4_000_000_000_000)
    assert await engine.hold(SourceHold("s", "f"), 1)
    await engine.touch("s")  # it expires in a second
    async with asyncio.timeout(PATIENCE):
        while not (await other.load("s", LIMIT)).hidden:  # noqa: ASYNC110 - the server's clock tells
            await asyncio.sleep(0.02)
    assert await names(other) == await names(other, owner="o") == []
    assert join(await other.read("s", 0, LIMIT), 0) == [b"1"]
    for deed in (other.write("s", [b"2"]), other.touch("s"), other.create("s", BYTES)):
        assert await code_of(deed) in ("gone", "stream_deleted")
    assert await other.release(SourceHold("s", "f")) is None
    assert await code_of(other.load("s", LIMIT)) == "stream_not_found"


# Generations


async def test_a_generation_begins_once_where_it_has_read_to(
    engine: SharedEngine, other: SharedEngine
) -> None:
    await engine.create("s", BYTES, [b"1"])
    assert await code_of(engine.begin("s", "g", "n", 0, [b"2"])) == "stream_moved"
    begun = await engine.begin("s", "g", "n", 1, [b"2", b"3"])
    assert begun is not None
    assert begun.tail == 3
    assert await other.begin("s", "g", "n", 1, [b"2", b"3"]) is None
    assert await code_of(other.begin("s", "h", "m", 3, [b"4"])) == "stream_busy"
    assert await code_of(other.write("s", [], close=True)) == "stream_busy"
    found = await other.load("s", LIMIT)
    assert (found.running, found.node, found.number) == ("g", "n", 2)
    assert found.began == f"{begun.epoch}:1:2"
    assert await kept(other, "s") == [b"1", b"2", b"3"]


async def test_of_many_that_begin_one_does(engine: SharedEngine, other: SharedEngine) -> None:
    await engine.create("s", BYTES)
    found = await asyncio.gather(
        *((engine, other)[n % 2].begin("s", f"g{n}", "n", 0, [b"1"]) for n in range(MANY)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Written) for one in found) == 1
    assert sum(isinstance(one, StreamBusy) for one in found) == MANY - 1


async def test_a_tick_that_comes_again_is_not_written_again(
    engine: SharedEngine, other: SharedEngine
) -> None:
    await engine.create("s", BYTES)
    await engine.begin("s", "g", "n", 0, [b"0"])
    (done,) = await engine.tick([Tick("s", "g", 1, [b"1", b"2"])])
    assert done.written is not None
    assert done.written.tail == 3
    (again,) = await engine.tick([Tick("s", "g", 1, [b"1", b"2"])])
    assert (again.written, again.number) == (None, 3)
    (hole,) = await engine.tick([Tick("s", "g", 5, [b"5"])])
    assert (hole.written, hole.number) == (None, 3), "and it never goes on after a hole"
    await other.write("s", [b"x"])
    (more,) = await engine.tick([Tick("s", "g", 3, [b"3"])])
    assert more.written is not None
    assert await kept(other, "s") == [b"0", b"1", b"2", b"x", b"3"]


async def test_one_tick_writes_to_many_streams_each_by_itself(engine: SharedEngine) -> None:
    together = [name for name in map(str, range(2000)) if engine.partition(name) == 0]
    *names, nowhere = together[:6]
    for name in names:
        await engine.create(name, BYTES)
        await engine.begin(name, f"g{name}", "n", 0, [b"0"])
    await engine.end(names[1], f"g{names[1]}", [b"end"])
    ticks = [Tick(name, f"g{name}", 1, [name.encode()]) for name in names]
    ticks[3] = ticks[3]._replace(number=2)
    ticks.append(Tick(nowhere, "g", 0, [b"1"]))
    done = await engine.tick(ticks)
    assert [one.written is not None for one in done] == [True, False, True, False, True, False]
    assert [one.number for one in done] == [None, None, None, 1, None, None]
    assert await kept(engine, names[4]) == [b"0", names[4].encode()]


async def test_a_generation_that_was_interrupted_is_fenced(
    engine: SharedEngine, other: SharedEngine
) -> None:
    await engine.create("s", BYTES)
    await engine.begin("s", "g", "n", 0, [b"0"])
    ended = await other.end("s", "g", [b"interrupted"])
    assert ended.written is not None
    for late in (
        await engine.tick([Tick("s", "g", 1, [b"late"])]),
        [await engine.end("s", "g", [b"late"], number=1)],
        [await other.end("s", "g", [b"interrupted"])],
    ):
        assert [(one.written, one.number) for one in late] == [(None, None)]
    assert await kept(engine, "s") == [b"0", b"interrupted"]
    assert (await engine.load("s", LIMIT)).running is None
    assert await engine.begin("s", "g", "n", 2, [b"again"]) is None
    assert await engine.begin("s", "h", "n", 2, [b"next"]) is not None


async def test_an_end_closes_the_stream_of_a_single_answer(engine: SharedEngine) -> None:
    await engine.create("g", BYTES)
    await engine.begin("g", "g", "n", 0, [b"0"])
    wrong = await engine.end("g", "g", [b"end"], number=0)
    assert (wrong.written, wrong.number) == (None, 1)
    done = await engine.end("g", "g", [b"1", b"end"], number=1, close=True)
    assert done.written is not None
    found = await engine.load("g", LIMIT)
    assert (found.tail, found.closed, found.running) == (3, True, None)
    assert await code_of(engine.begin("g", "h", "n", 3, [b"1"])) == "stream_closed"


async def test_a_generation_hears_with_its_next_tick_that_it_is_to_stop(
    engine: SharedEngine, other: SharedEngine
) -> None:
    await engine.create("s", BYTES)
    await engine.begin("s", "g", "n", 0, [b"0"])
    (before,) = await engine.tick([Tick("s", "g", 1, [b"1"])])
    assert not before.cancelled
    assert await other.cancel("s", "g") == "n"
    assert await other.cancel("s", "other") is None
    (after,) = await engine.tick([Tick("s", "g", 2, [b"2"])])
    assert after.cancelled
    await engine.end("s", "g", [b"end"], number=3)
    await engine.begin("s", "h", "n", 4, [b"0"])
    (later,) = await engine.tick([Tick("s", "h", 1, [b"1"])])
    assert not later.cancelled, "it was for the one before"


async def test_a_generation_in_a_stream_that_was_deleted_is_fenced(
    engine: SharedEngine, other: SharedEngine
) -> None:
    for name in ("s", "t"):
        await engine.create(name, BYTES)
        await engine.begin(name, f"g{name}", "n", 0, [b"0"])
    await other.hold(SourceHold("t", "f"), 1)
    for name in ("s", "t"):
        await other.delete(name)
        (late,) = await engine.tick([Tick(name, f"g{name}", 1, [b"late"])])
        assert (late.written, late.number) == (None, None)
    assert await kept(engine, "t") == [b"0"]


# Nodes


LEASE = 0.3


async def given(engine: SharedEngine, *nodes: str) -> set[tuple[str, str]]:
    """Renew the leases of nodes until others are given to them: to whom, and which."""
    found: set[tuple[str, str]] = set()
    async with asyncio.timeout(PATIENCE):
        while not found:
            for node in nodes:
                found |= {(node, other) for other in await engine.renew(node, LEASE)}
            await asyncio.sleep(LEASE / 4)
    return found


async def test_a_node_that_does_not_renew_its_lease_is_given_to_one_other(
    engine: SharedEngine,
) -> None:
    for node in "abc":
        assert await engine.renew(node, LEASE) == []
    ((heir, dead),) = await given(engine, "b", "c")
    assert (heir in ("b", "c"), dead) == (True, "a")
    assert await engine.forget("a")
    for _ in range(6):
        assert await engine.renew("b", LEASE) == await engine.renew("c", LEASE) == []
        await asyncio.sleep(LEASE / 4)


async def test_a_node_whose_heir_dies_is_given_to_a_third(engine: SharedEngine) -> None:
    for node in "abc":
        assert await engine.renew(node, LEASE) == []
    ((first, _),) = await given(engine, "b", "c")
    other = "c" if first == "b" else "b"
    found: set[tuple[str, str]] = set()
    while len(found) < 2:
        found |= await given(engine, other)
    assert found == {(other, "a"), (other, first)}


async def test_a_node_that_is_busy_is_given_to_nobody_while_it_is_connected(
    engine: SharedEngine, other: SharedEngine
) -> None:
    for node in "ab":
        assert await engine.renew(node, LEASE) == []
    await other.hear(node_topic("a"), lambda _: None)
    for _ in range(8):  # two leases
        assert await engine.renew("b", LEASE) == []
        await asyncio.sleep(LEASE / 4)
    assert await other.renew("a", LEASE) == [], "it goes on"
    await other.close()
    assert await given(engine, "b") == {("b", "a")}


async def test_a_node_that_stands_still_is_given_to_another_though_it_is_connected(
    engine: SharedEngine, other: SharedEngine
) -> None:
    for node in "ab":
        assert await engine.renew(node, LEASE) == []
    await other.hear(node_topic("a"), lambda _: None)
    assert await given(engine, "b") == {("b", "a")}


async def test_an_outage_ends_no_node(engine: SharedEngine) -> None:
    for node in "ab":
        await engine.renew(node, 0.2)
    await asyncio.sleep(0.4)  # nobody could renew a lease meanwhile
    assert await engine.renew("a", 0.2) == []
    assert await engine.renew("b", 0.2) == []


async def test_a_node_is_not_forgotten_while_generations_of_it_are_left(
    engine: SharedEngine,
) -> None:
    for stream in ("s", "a:b"):
        await engine.enlist("n", stream, f"g{stream[0]}")
    assert sorted(await engine.runs("n")) == [("a:b", "ga"), ("s", "gs")]
    assert not await engine.forget("n")
    await engine.strike("n", "s", "gs")
    assert not await engine.forget("n")
    await engine.strike("n", "a:b", "ga")
    assert await engine.runs("n") == []
    assert await engine.forget("n")


async def test_a_generation_is_found_by_its_id(engine: SharedEngine, other: SharedEngine) -> None:
    assert await other.locate("g") is None
    made, _ = await engine.create("s", BYTES, [b"0"])
    await engine.enlist("n", "s", "g")
    assert await other.locate("g") is None, "it has not begun"
    await engine.begin("s", "g", "n", 1, [b"1", b"2"])
    position = Position(made.epoch, 1)
    assert await other.locate("g") == GenerationLocation("s", position, 2, None)
    await engine.end("s", "g", [b"3", b"end"], number=2)
    await engine.strike("n", "s", "g")
    assert await other.locate("g") == GenerationLocation("s", position, 2, 4)
    await engine.delete("s")
    assert await other.locate("g") is None


async def test_a_key_stands_for_what_it_was_first_used_for(
    engine: SharedEngine, other: SharedEngine
) -> None:
    assert await engine.claimed("k") is None
    claims = [Claim(bytes([number, 0]), f"s:{number}", 7) for number in range(MANY)]
    found = await asyncio.gather(
        *((engine, other)[n % 2].claim("k", claim, 60) for n, claim in enumerate(claims))
    )
    assert len(set(found)) == 1
    assert found[0] in claims
    assert await other.claimed("k") == found[0]
    assert await other.claim("another", claims[0], 0.05) == claims[0]
    async with asyncio.timeout(PATIENCE):
        while await engine.claim("another", claims[1], 60) != claims[1]:  # noqa: ASYNC110 - it expires
            await asyncio.sleep(0.02)


# Messages


async def test_hubs_hear_what_is_said_on_a_topic(engine: SharedEngine, other: SharedEngine) -> None:
    heard: list[bytes] = []
    await other.hear("node:n", heard.append)
    await engine.say("node:n", b"one")
    await engine.say("node:m", b"not here")
    await engine.say("node:n", b"two")
    await other.caught_up()
    assert heard == [b"one", b"two"]


async def test_a_message_that_is_not_understood_keeps_no_other_from_being_heard(
    engine: SharedEngine, other: SharedEngine
) -> None:
    heard: list[bytes] = []
    await engine.hear("numbers", lambda message: heard.append(b"%d" % int(message)))
    await other.say("numbers", b"none")
    await other.say("numbers", b"1")
    await eventually(lambda: heard == [b"1"])
    assert not engine.lost.done()


async def test_a_topic_that_is_ignored_is_heard_no_longer(
    engine: SharedEngine, other: SharedEngine
) -> None:
    heard: list[bytes] = []
    await other.hear("t", heard.append)
    await engine.say("t", b"one")
    await other.caught_up()
    other.ignore("t")
    await engine.say("t", b"two")
    await other.caught_up()
    assert heard == [b"one"]


async def test_the_last_messages_of_a_topic_are_kept(
    engine: SharedEngine, other: SharedEngine
) -> None:
    assert await other.said("t") == []
    for message in (b"1", b"2", b"3"):
        await engine.say("t", message, keep=2)
    await engine.say("not kept", b"1")
    assert await other.said("t") == [b"3", b"2"]
    assert await other.said("not kept") == []


async def test_the_nodes_with_a_lease_are_known(engine: SharedEngine, other: SharedEngine) -> None:
    for node in ("one", "two"):
        await engine.renew(node, 60)
    assert sorted(await other.nodes()) == ["one", "two"]
    await other.forget("one")
    assert await engine.nodes() == ["two"]


async def test_a_hub_is_caught_up_once_it_has_heard_all_that_was_accepted(
    engine: SharedEngine, other: SharedEngine
) -> None:
    heard = await hear(other, "s")
    await engine.create("s", BYTES)
    for number in range(1, 50):
        await engine.write("s", [b"1"])
        await other.caught_up()
        assert heard[-1].tail == number


async def test_nobody_is_caught_up_with_a_server_that_is_away(
    engine: SharedEngine, shared_server: SharedServer
) -> None:
    shared_server.freeze()
    catching_up = asyncio.create_task(engine.caught_up())
    await asyncio.sleep(0.05)
    assert not catching_up.done()
    await shared_server.kill()
    with pytest.raises(StoreError):
        await catching_up
    with pytest.raises(StoreError):
        await engine.caught_up()


# Notices


async def test_a_notice_tells_all_that_its_change_did(
    engine: SharedEngine, other: SharedEngine
) -> None:
    heard = await hear(other, "s")
    made, _ = await engine.create("s", StreamSettings(ttl=60), [b"0"])
    stamp = Stamp("p", 0, 0)
    await engine.write("s", [b"1", b""], stamp=stamp, sequence="q")
    await engine.begin("s", "g", "n", 3, [b"3"])
    await engine.tick([Tick("s", "g", 1, [b"4"])])
    await engine.touch("s")
    await engine.end("s", "g", [b"5"], number=2)
    closing = Stamp("p", 0, 1)
    await engine.write("s", [], stamp=closing, close=True)
    await engine.delete("s")
    await eventually(lambda: len(heard) == 8)
    created, wrote, began, ticked, touched, ended, closed, removed = heard
    assert [one.change for one in heard] == list(range(1, 9)), "none can be missed unnoticed"
    assert {one.epoch for one in heard} == {made.epoch}
    assert [(one.first, one.tail) for one in heard[1:]] == [
        (1, 3),
        (3, 4),
        (4, 5),
        (5, 5),
        (5, 6),
        (6, 6),
        (6, 6),
    ]
    assert created.reload
    assert (wrote.bodies, wrote.stamp, wrote.sequence) == ([b"1", b""], stamp, "q")
    assert wrote.expires is not None
    assert (began.running, began.node, began.number) == ("g", "n", 1)
    assert began.began == f"{made.epoch}:3:3"
    assert (ticked.bodies, ticked.number, ticked.running) == ([b"4"], 2, None)
    assert touched.expires is not None
    assert (ended.running, ended.bodies, ended.closed) == ("", [b"5"], False)
    assert (closed.closed, closed.closed_by, closed.stamp) == (True, closing, closing)
    assert (removed.removed, removed.hidden) == (True, False)


async def test_a_change_that_cannot_be_taken_ends_the_connection(
    engine: SharedEngine, other: SharedEngine
) -> None:
    """What is missed of a stream must not go unnoticed, other than what is missed of a topic."""

    def fail(_: Notice | None) -> None:
        raise ValueError("a mistake")

    await other.subscribe("s", fail)
    await engine.create("s", BYTES)
    why = await asyncio.wait_for(asyncio.shield(other.lost), PATIENCE)
    assert why.code == "store_unavailable"


async def test_whoever_listens_no_longer_hears_nothing(
    engine: SharedEngine, other: SharedEngine
) -> None:
    heard = await hear(other, "s")
    await engine.create("s", BYTES)
    await eventually(lambda: heard)
    other.unsubscribe("s")
    again = await hear(other, "t")
    await engine.write("s", [b"1"])
    await engine.create("t", BYTES)
    await eventually(lambda: again)
    assert len(heard) == 1


# Incarnations


async def test_hubs_find_one_incarnation_and_streams_keep_their_epoch(
    engine: SharedEngine, opening: Opening
) -> None:
    made, _ = await engine.create("s", BYTES, [b"1"])
    others = await asyncio.gather(*(opening() for _ in range(4)))
    assert {tuple(one.incarnations.items()) for one in others} == {
        tuple(engine.incarnations.items())
    }
    assert {(await one.write("s", [b"2"])).epoch for one in others} == {made.epoch}


async def test_hubs_that_connect_at_once_make_one_incarnation(opening: Opening) -> None:
    engines = await asyncio.gather(*(opening() for _ in range(6)))
    assert len({tuple(sorted(one.incarnations.items())) for one in engines}) == 1


@pytest.mark.parametrize("how", ["restart", "restart_empty"])
async def test_after_a_loss_no_old_hub_writes_and_epochs_rise(
    engine: SharedEngine, opening: Opening, shared_server: SharedServer, how: str
) -> None:
    made, _ = await engine.create("s", BYTES, [b"1", b"2"])
    await getattr(shared_server, how)()
    assert await code_of(engine.write("s", [b"3"])) == "store_unavailable"
    assert (await engine.lost).code == "store_unavailable"
    later = await opening(known=engine.incarnations)
    for partition, number in engine.incarnations.items():
        assert later.incarnations[partition] > number
    if how != "restart":
        await later.create("s", BYTES, [b"1", b"2"])
    written = await later.write("s", [b"3"])
    assert written.epoch > made.epoch
    epochs = (await later.load("s", LIMIT)).epochs
    if how == "restart":
        assert epochs == ((made.epoch, 0), (written.epoch, 2)), "raised where it was written on"
        assert (await later.write("s", [b"4"])).epoch == written.epoch, "and once"


async def test_while_it_settles_only_what_was_lost_is_written(
    engine: SharedEngine, opening: Opening, shared_server: SharedServer
) -> None:
    await engine.create("s", BYTES, [b"1"])
    state = await engine.load("s", LIMIT)
    await shared_server.restart_empty()
    long = await opening(known=engine.incarnations, settle_seconds=PATIENCE)
    waiting = [
        asyncio.create_task(one)
        for one in (
            long.write("s", [b"x"]),
            long.load("s", LIMIT),
            long.create("s", BYTES, [b"y"]),
        )
    ]
    await asyncio.wait(waiting, timeout=0.1)
    assert await long.restore("s", state, None)
    # There is a stream now, but perhaps not yet all of it.
    waiting.append(asyncio.create_task(long.write("s", [b"z"])))
    await asyncio.wait(waiting, timeout=0.2)
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    soon = await opening(known=long.incarnations)
    assert await kept(soon, "s") == [b"1"]
    assert (await soon.write("s", [b"2"])).tail == 2


# Putting back


async def full(engine: SharedEngine) -> State:
    """A stream ``s`` with everything that a stream can have, but open."""
    await engine.create("s", StreamSettings("text/plain", ttl=3600, owner="p"), [b"0", b"1"])
    await engine.set_owner("s", "o")
    await engine.write("s", [b"2"], stamp=Stamp("p", 3, 0), sequence="q")
    await engine.begin("s", "g", "n", 3, [b"3"])
    await engine.tick([Tick("s", "g", 1, [b"4"])])
    return await engine.load("s", LIMIT)


async def test_a_stream_that_was_lost_is_put_back_whole(
    engine: SharedEngine, opening: Opening, shared_server: SharedServer
) -> None:
    before = await full(engine)
    await shared_server.restart_empty()
    later = await opening(known=engine.incarnations)
    heard = await hear(later, "s")
    assert await later.restore("s", before, None)
    assert not await later.restore("s", before, None), "once"
    await eventually(lambda: heard)
    assert (heard[0].reload, heard[0].change) == (True, before.change)
    after = await later.load("s", LIMIT)
    assert after == before
    assert await names(later, owner="o") == ["s"]
    (done,) = await later.tick([Tick("s", "g", 2, [b"5"])])
    assert done.written is not None, "the generation goes on"
    assert (await later.write("s", [b"x"], stamp=Stamp("p", 3, 0))).duplicate
    assert await code_of(later.write("s", [b"x"], sequence="q")) == "stream_seq"
    assert await kept(later, "s") == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert not await later.restore("s", before, None)


async def test_the_end_of_a_stream_that_was_lost_is_put_back(
    engine: SharedEngine, opening: Opening, shared_server: SharedServer
) -> None:
    """As if the server had not written its file: two hubs have different parts of the rest."""
    await engine.create("s", BYTES, [b"0"])
    early = await engine.load("s", LIMIT)
    await engine.write("s", [b"1"], stamp=Stamp("p", 0, 0))
    middle = await engine.load("s", LIMIT)
    await engine.write("s", [b"2"], close=True)
    late = await engine.load("s", LIMIT)
    await shared_server.restart_empty()
    later = await opening(known=engine.incarnations)
    assert await later.restore("s", early, None)
    lost = (early.epoch, early.change)
    rest = middle_of(middle, early.tail)
    assert await later.restore("s", rest, lost)
    assert not await later.restore("s", middle_of(late, early.tail), lost), "it is further by now"
    assert await later.restore("s", middle_of(late, middle.tail), (middle.epoch, middle.change))
    assert await kept(later, "s") == [b"0", b"1", b"2"]
    found = await later.load("s", LIMIT)
    assert found.closed
    assert found.producers == {"p": (0, 0)}


def middle_of(state: State, tail: int) -> State:
    """A state with its records from an offset on."""
    bodies = join(state.entries, tail)
    return replace(state, entries=[Entry(tail, bodies)])


async def test_nothing_is_put_back_behind_what_was_written_since(
    engine: SharedEngine, opening: Opening, shared_server: SharedServer
) -> None:
    await engine.create("s", BYTES, [b"0"])
    early = await engine.load("s", LIMIT)
    await engine.write("s", [b"lost"])
    late = await engine.load("s", LIMIT)
    await shared_server.restart_empty()
    later = await opening(known=engine.incarnations)
    await later.restore("s", early, None)
    written = await later.write("s", [b"new"])
    assert not await later.restore("s", middle_of(late, 1), (early.epoch, early.change))
    assert not await later.restore("s", middle_of(late, 1), (written.epoch, written.change))
    assert await kept(later, "s") == [b"0", b"new"]


async def test_what_was_deleted_is_not_put_back(
    engine: SharedEngine, opening: Opening, shared_server: SharedServer
) -> None:
    await engine.create("s", BYTES, [b"0"])
    state = await engine.load("s", LIMIT)
    await engine.delete("s")
    assert not await engine.restore("s", state, None)
    await shared_server.restart()
    later = await opening(known=engine.incarnations, settle_seconds=PATIENCE)
    assert not await later.restore("s", state, None)


async def test_what_is_put_back_late_is_taken_if_nothing_has_its_name(
    engine: SharedEngine, opening: Opening, shared_server: SharedServer
) -> None:
    for name in "st":
        await engine.create(name, BYTES, [b"0"])
    states = {name: await engine.load(name, LIMIT) for name in "st"}
    await shared_server.restart_empty()
    later = await opening(known=engine.incarnations)
    with pytest.raises(StreamNotFound):
        await later.write("s", [b"1"])  # which waits until it is settled
    await later.create("t", BYTES)
    assert await later.restore("s", states["s"], None)
    assert not await later.restore("t", states["t"], None)
    assert (await kept(later, "s"), await kept(later, "t")) == ([b"0"], [])
