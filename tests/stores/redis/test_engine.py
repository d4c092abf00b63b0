"""What only Redis promises; the rest is in tests/stores/test_shared_engine.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import count, islice

import pytest

from hub.domain.errors import StoreError, StreamNotFound
from hub.domain.producers import Stamp
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores.redis import scripts
from hub.stores.redis.engine import RedisEngine
from hub.stores.redis.keys import Keys, partition_of
from hub.stores.redis.server import check_server
from hub.stores.shared import DroppedPrompt, SourceHold, State, Tick
from tests.stores.redis.conftest import Opening
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.shared_servers import at, code_of, kept

BYTES = StreamSettings("application/octet-stream")
LIMIT = 1024 * 1024
KEYS = Keys().of("s")


async def test_a_deleted_stream_leaves_nothing_but_its_name_and_epoch(
    engine: RedisEngine, server: RedisServer
) -> None:
    before = await server.ask("DBSIZE")
    await engine.create("s", StreamSettings(ttl=60), [b"1"])
    await engine.write("s", [b"2"], stamp=Stamp("p", 0, 0))
    assert await engine.delete("s") is None
    assert await engine.find("s", LIMIT) is None
    assert int((await server.ask("DBSIZE"))[1:]) == int(before[1:]) + 3, "removed, used, epoch"
    with pytest.raises(StreamNotFound):
        await engine.load("s", LIMIT)


async def test_a_source_does_not_expire_while_it_has_forks(
    engine: RedisEngine, server: RedisServer
) -> None:
    await engine.create("s", StreamSettings(ttl=60), [b"1"])
    await engine.touch("s")
    assert int((await server.ask("PTTL", KEYS.meta))[1:]) > 0
    await engine.hold(SourceHold("s", "f"), 1)
    await engine.touch("s")
    assert int((await server.ask("PTTL", KEYS.meta))[1:]) == -1
    await engine.release(SourceHold("s", "f"))
    assert int((await server.ask("PTTL", KEYS.meta))[1:]) > 0


async def begin_and_end(engine: RedisEngine, number: int) -> None:
    await engine.begin("s", f"g{number}", "n", 2 * number, [b"begin"])
    await engine.end("s", f"g{number}", [b"end"], number=1)


async def drop(engine: RedisEngine, number: int) -> None:
    dropped = DroppedPrompt(f"g{number}", 1, number)
    await engine.queue("s", "", [b"dropped"], ("", ""), dropped=dropped)


@pytest.mark.parametrize("generate", [begin_and_end, drop])
async def test_generations_whose_records_are_trimmed_are_forgotten(
    generate: Callable[[RedisEngine, int], Awaitable[None]],
    opening: Opening,
    monkeypatch: pytest.MonkeyPatch,
    server: RedisServer,
) -> None:
    monkeypatch.setattr(scripts, "CONSTANTS", {**scripts.CONSTANTS, "MOST_GENERATIONS": 4})
    engine = await opening(max_records=4)
    await engine.create("s", BYTES)
    for number in range(20):
        await generate(engine, number)
    assert int((await server.ask("HLEN", KEYS.generations))[1:]) < 8


async def test_a_server_that_was_demoted_and_promoted_is_another(
    engine: RedisEngine, opening: Opening, server: RedisServer
) -> None:
    await engine.create("s", BYTES)
    await server.ask("REPLICAOF", "127.0.0.1", "1")
    assert await code_of(engine.write("s", [b"1"])) == "store_unavailable"
    with pytest.raises(StoreError, match="it is a replica"):
        await opening()
    await server.ask("REPLICAOF", "NO", "ONE")
    assert (await opening()).incarnations != engine.incarnations


async def test_a_promotion_between_two_writes_is_noticed(
    engine: RedisEngine, server: RedisServer
) -> None:
    """It keeps the scripts, the keys and the connections, and has another replication id."""
    await engine.create("s", BYTES)
    await server.ask("REPLICAOF", "127.0.0.1", "1")
    await server.ask("REPLICAOF", "NO", "ONE")
    assert await code_of(engine.write("s", [b"1"])) == "store_unavailable"


async def test_scripts_that_were_flushed_are_loaded_by_the_next_connection(
    engine: RedisEngine, opening: Opening, server: RedisServer
) -> None:
    made, _ = await engine.create("s", BYTES)
    await server.ask("SCRIPT", "FLUSH")
    assert await code_of(engine.write("s", [b"1"])) == "store_unavailable"
    later = await opening(known=engine.incarnations)
    assert later.incarnations == engine.incarnations, "nothing was lost"
    assert (await later.write("s", [b"1"])).epoch == made.epoch


async def test_what_was_lost_is_put_back_also_if_there_is_no_memory_left(
    engine: RedisEngine, opening: Opening, server: RedisServer
) -> None:
    await engine.create("s", BYTES, [b"0"])
    early = await engine.load("s", LIMIT)
    await engine.write("s", [b"1"])
    late = await engine.load("s", LIMIT)
    await server.restart_empty()
    later = await opening(known=engine.incarnations)
    await server.ask("CONFIG", "SET", "maxmemory", "1")
    assert await later.restore("s", early, None)
    assert await later.restore("s", from_one(late), (early.epoch, early.change))
    assert await kept(later, "s") == [b"0", b"1"]


async def test_what_is_missing_among_others_is_put_back(
    engine: RedisEngine, server: RedisServer
) -> None:
    await engine.create("s", BYTES, [b"0", b"1"])
    for number in range(2, 6):
        await engine.write("s", [b"%d" % number])
    whole = await engine.load("s", LIMIT)
    assert whole.gap(LIMIT) is None
    for lost in ("3-1", "5-1"):
        await server.ask("XDEL", KEYS.records, lost)
    found = await engine.load("s", LIMIT)
    assert found.gap(LIMIT) == 3
    assert (await engine.load("s", 1)).gap(1) == 5
    assert await engine.heal("s", whole, 3)
    assert await engine.load("s", LIMIT) == whole
    await engine.write("s", [b"6"])
    assert await kept(engine, "s") == [b"%d" % number for number in range(7)]
    assert not await engine.heal("s", whole, 3), "it has changed"
    await server.ask("DEL", KEYS.records)
    empty = await engine.load("s", LIMIT)
    assert (empty.entries, empty.gap(LIMIT)) == ([], 0)


@pytest.mark.parametrize(
    ("setting", "code"),
    [("maxmemory", "store_full"), ("min-replicas-to-write", "store_unavailable")],
)
async def test_a_server_without_memory_or_replicas_refuses_writes_and_is_read(
    engine: RedisEngine, server: RedisServer, setting: str, code: str
) -> None:
    await engine.create("s", BYTES, [b"0"])
    await engine.create("t", BYTES)
    await engine.begin("t", "g", "n", 0, [b"0"])
    await server.ask("CONFIG", "SET", setting, "1")
    for deed in (
        engine.write("s", [b"1"]),
        engine.write("s", [], close=True),
        engine.create("new", BYTES, [b"1"]),
        engine.begin("s", "h", "n", 1, [b"1"]),
        engine.tick([Tick("t", "g", 1, [b"1"])]),
        engine.end("t", "g", [b"1"]),
    ):
        assert await code_of(deed) == code
    assert await kept(engine, "s") == [b"0"]
    await server.ask("CONFIG", "SET", setting, "0")
    assert at(await engine.write("s", [b"1"])) == (2, False, False), "nothing was done by halves"
    assert (await engine.load("s", LIMIT)).change == 2
    (done,) = await engine.tick([Tick("t", "g", 1, [b"1"])])
    assert done.written is not None


async def test_a_stream_can_be_deleted_though_there_is_no_memory_left(
    engine: RedisEngine, server: RedisServer
) -> None:
    await engine.create("s", BYTES, [b"0"])
    await server.ask("CONFIG", "SET", "maxmemory", "1")
    await engine.delete("s")
    assert await engine.find("s", LIMIT) is None


async def test_a_name_that_is_not_remembered_may_have_been_any_that_was_forgotten(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "CONSTANTS", {**scripts.CONSTANTS, "MOST_REMOVED": 2})
    engine = await opening()
    epochs = [await used(engine, name) for name in islice(beside("f"), 3)]
    assert len(set(epochs)) == 3
    await engine.create("f", BYTES, head=3, epochs=[*zip(epochs, range(3), strict=True)])
    assert (await engine.load("f", LIMIT)).epochs[:2] == ((epochs[1], 0), (epochs[2], 2))


async def test_a_server_that_was_emptied_knows_of_no_name_whether_it_was_used(
    engine: RedisEngine, opening: Opening, server: RedisServer
) -> None:
    source, _ = await engine.create("s", BYTES, [b"1"])
    kept = await engine.load("s", LIMIT)
    await used(engine, "f")
    await server.restart_empty()
    later = await opening(known=engine.incarnations)
    assert await later.restore("s", kept, None)
    await later.hold(SourceHold("s", "f"), 1)
    settings = StreamSettings("", fork=Fork("s", 1))
    made, _ = await later.create("f", settings, epochs=[(source.epoch, 0)])
    assert (await later.load("f", LIMIT)).epochs == ((made.epoch, 0),)


def beside(stream: str) -> Iterator[str]:
    """Other names in the partition of a stream."""
    return (name for name in map(str, count()) if partition_of(name) == partition_of(stream))


async def used(engine: RedisEngine, name: str) -> int:
    """The epoch of a stream that was there and is not any more."""
    written, _ = await engine.create(name, BYTES, [b"0"])
    await engine.delete(name)
    return written.epoch


async def test_what_a_newer_hub_has_written_is_left_alone(
    engine: RedisEngine, server: RedisServer
) -> None:
    await engine.create("s", BYTES)
    await server.ask("HSET", KEYS.meta, "v", "2")
    assert await code_of(engine.load("s", LIMIT)) == "store_newer"


async def test_what_nobody_has_written_is_damaged(engine: RedisEngine, server: RedisServer) -> None:
    await engine.create("s", BYTES)
    await server.ask("XADD", KEYS.records, "5-1", "b", "nonsense")
    assert await code_of(engine.load("s", LIMIT)) == "store_damaged"
    assert await code_of(engine.read("s", 0, LIMIT)) == "store_damaged"


async def test_a_gap_is_not_read_across(engine: RedisEngine, server: RedisServer) -> None:
    await engine.create("s", BYTES, [b"0"])
    for number in range(1, 5):
        await engine.write("s", [b"%d" % number])
    await server.ask("XDEL", KEYS.records, "2-1")
    assert await kept(engine, "s") == [b"0", b"1"]
    assert await kept(engine, "s", 2) == []
    assert await kept(engine, "s", 3) == [b"3", b"4"]


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"redis_version": "6.2.1"}, "Redis 6.2.1 is too old"),
        ({}, "too old"),
        ({"redis_version": "7.2.4", "role": "slave"}, "replica"),
        (
            {"redis_version": "7.2.4", "role": "master", "maxmemory_policy": "allkeys-lru"},
            "set it to noeviction",
        ),
    ],
)
def test_a_server_that_cannot_be_used_is_refused(said: dict[str, str], match: str) -> None:
    with pytest.raises(StoreError, match=match):
        check_server(said)


async def test_a_server_that_evicts_is_refused(opening: Opening, server: RedisServer) -> None:
    await server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(StoreError, match="noeviction"):
        await opening()


def from_one(state: State) -> State:
    """A state with its records from offset 1 on."""
    return replace(state, entries=[entry for entry in state.entries if entry.first >= 1])


async def test_an_append_is_an_entry(opening: Opening) -> None:
    """The covering one is kept, and a load has as many as its limit needs."""
    engine = await opening(max_records=5)
    await engine.create("s", BYTES)
    for number in range(4):
        await engine.write("s", [b"%d" % (3 * number + part) for part in range(3)])
    found = await engine.load("s", LIMIT)
    assert [entry.first for entry in found.entries] == [6, 9], "the one with the head is kept"
    more = await opening()
    await more.create("t", BYTES)
    for number in range(200):
        await more.write("t", [b"%03d" % number])
    assert 10 <= len((await more.load("t", 70)).entries) <= 11


async def test_an_expired_name_is_not_listed(engine: RedisEngine, server: RedisServer) -> None:
    await engine.create("expired", StreamSettings(owner="o"))
    await server.ask("DEL", engine.keys.of("expired").meta)
    for owner in (None, "o"):
        assert await engine.listed("", "", 10, owner) == []


async def test_a_stream_expires_with_all_its_keys(engine: RedisEngine, server: RedisServer) -> None:
    await engine.create("s", StreamSettings(ttl=1), [b"1"], expires=4_000_000_000_000)
    # At once: the first of them lets it expire in a second.
    await asyncio.gather(
        engine.write("s", [b"2"], stamp=Stamp("p", 0, 0)),
        engine.begin("s", "g", "n", 2, [b"3"]),
    )
    async with asyncio.timeout(PATIENCE):
        while b":s\r\n" in await server.ask("KEYS", "*:s"):  # noqa: ASYNC110 - it says nothing
            await asyncio.sleep(0.05)


async def test_a_server_that_was_emptied_is_another(
    engine: RedisEngine, opening: Opening, server: RedisServer
) -> None:
    made, _ = await engine.create("s", BYTES, [b"1", b"2"])
    await server.ask("FLUSHALL")
    assert await code_of(engine.write("s", [b"3"])) == "store_unavailable"
    assert (await engine.lost).code == "store_unavailable"
    later = await opening(known=engine.incarnations)
    for partition, number in engine.incarnations.items():
        assert later.incarnations[partition] > number
    await later.create("s", BYTES, [b"1", b"2"])
    assert (await later.write("s", [b"3"])).epoch > made.epoch


@pytest.mark.parametrize(("seen", "over"), [(50.0, []), (5.0, ["a"])], ids=["still", "alive"])
async def test_a_server_that_stood_still_for_most_of_a_lease_ends_nobody(
    engine: RedisEngine, seen: float, over: list[str]
) -> None:
    """The lease of ``a`` ended a moment ago, ``seen`` seconds after anybody renewed one."""
    seconds, micros = await engine.ask("TIME")
    now = int(seconds) * 1000 + int(micros) // 1000
    await engine.ask("ZADD", engine.keys.nodes, now - 1000, "a")
    await engine.ask("SET", engine.keys.seen, now - round(seen * 1000))
    assert await engine.renew("b", 60.0) == over
