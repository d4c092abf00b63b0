"""Slots that move, primaries that are replaced, and what servers of a cluster say of each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from hub.domain.errors import StoreError
from hub.domain.stream_settings import StreamSettings
from hub.stores import Credential, Label
from hub.stores.redis import connection, scripts
from hub.stores.redis.cluster import Cluster, ClusterWatch, Layout, _Server
from hub.stores.redis.codec import VERSION
from hub.stores.redis.credentials import RedisCredentials
from hub.stores.redis.engine import RedisEngine
from hub.stores.redis.keys import PARTITIONS, Keys, own_tag, partition_of, slot_of
from hub.stores.shared import Claim, SourceHold
from tests.stores.redis.conftest import Opening
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.redis_cluster import ClusterServer, RedisCluster, reached_by
from tests.support.redis_server import RedisServer
from tests.support.shared_servers import SETTLE, code_of, hear, kept

BYTES = StreamSettings("application/octet-stream")
NODES = slot_of(Keys().nodes)


@pytest.fixture
async def cluster(kept_cluster: RedisCluster) -> RedisCluster:
    await kept_cluster.start()
    await kept_cluster.empty()
    return kept_cluster


@pytest.fixture
async def opening(cluster: RedisCluster) -> AsyncIterator[Opening]:
    engines: list[RedisEngine] = []

    async def opened(**settings: Any) -> RedisEngine:
        engines.append(cluster.engine(**{"settle_seconds": SETTLE, **settings}))
        await engines[-1].open()
        return engines[-1]

    yield opened
    for engine in engines:
        await engine.close()


@pytest.fixture
async def engine(opening: Opening) -> RedisEngine:
    return await opening()


def slot_of_stream(stream: str) -> int:
    return slot_of(Keys().of(stream).meta)


async def test_streams_are_spread_over_all_primaries(
    engine: RedisEngine, cluster: RedisCluster
) -> None:
    for name in map(str, range(20)):
        await engine.create(name, BYTES, [b"1"])
    for server in cluster.primaries:
        assert b"m:" in await server.ask("KEYS", "*")
    assert [one.name for one in await engine.listed("", "", 100)] == sorted(map(str, range(20)))
    numbers = set(engine.incarnations.values())
    assert len(numbers) == 1, "a fork may have its source on another one"


async def test_what_has_moved_is_another_incarnation_and_the_rest_the_same(
    engine: RedisEngine, opening: Opening, cluster: RedisCluster
) -> None:
    made, _ = await engine.create("s", BYTES, [b"1"])
    slot = slot_of_stream("s")
    await cluster.move(slot, await cluster.another(slot))
    why = await asyncio.wait_for(asyncio.shield(engine.lost), PATIENCE)
    assert "cluster" in why.message
    later = await opening(known=engine.incarnations)
    moved = {
        number
        for number, found in later.incarnations.items()
        if found != engine.incarnations[number]
    }
    assert moved == {partition_of("s")}
    written = await later.write("s", [b"2"])
    assert written.epoch > made.epoch
    assert await kept(later, "s") == [b"1", b"2"]


async def test_whoever_only_listens_leaves_a_server_that_gives_a_slot_away(
    engine: RedisEngine, cluster: RedisCluster
) -> None:
    """Also before any other server is asked who has it."""
    await engine.create("s", BYTES)
    await hear(engine, "s")
    engine._tasks[0].cancel()  # which hears of it from the other servers
    slot = slot_of_stream("s")
    await cluster.move(slot, await cluster.another(slot))
    why = await asyncio.wait_for(asyncio.shield(engine.lost), PATIENCE)
    assert "another server of the cluster has its slots" in why.message


async def test_a_channel_may_be_left_and_listened_to_again_at_once(engine: RedisEngine) -> None:
    await engine.create("s", BYTES)
    await hear(engine, "s")
    engine.unsubscribe("s")
    heard = await hear(engine, "s")
    engine.unsubscribe("s")
    engine.unsubscribe("s")
    heard = await hear(engine, "s")
    await engine.write("s", [b"1"])
    await engine.caught_up()
    assert len(heard) == 1
    assert not engine.lost.done()


async def test_nothing_is_done_by_halves_while_a_slot_is_being_moved(
    engine: RedisEngine, cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that a script is given may be there, and it may still remove or make something."""
    monkeypatch.setattr(connection, "REPLY_SECONDS", 0.3)
    await engine.create("s", BYTES, [b"1"])
    slot = slot_of_stream("s")
    owner, other = await cluster.owner(slot), await cluster.another(slot)
    keys = [*Keys().of("s"), *Keys().partition(partition_of("s"))]
    for key in keys:
        if b":0" in await owner.ask("EXISTS", key):
            await owner.ask("SET", key, "x")
    await other.cluster("SETSLOT", str(slot), "IMPORTING", await owner.id())
    await owner.cluster("SETSLOT", str(slot), "MIGRATING", await other.id())
    try:
        assert await code_of(engine.delete("s")) == "store_unavailable"
        assert b":1" in await owner.ask("EXISTS", Keys().of("s").meta)
        assert not engine.lost.done(), "the other slots are as they were"
    finally:
        for server in (owner, other):
            await server.cluster("SETSLOT", str(slot), "STABLE")


async def test_what_is_asked_while_a_slot_is_being_moved_is_done_where_it_is_then(
    engine: RedisEngine, cluster: RedisCluster
) -> None:
    """A claim is one key of no partition: it is followed, and nothing else is given up."""
    first, second = Claim(b"1", "s"), Claim(b"2", "t")
    used = {slot_of(of.names) for of in map(Keys().partition, range(PARTITIONS))}
    key = next(key for key in map(str, count()) if slot_of(Keys().claim(key)) not in used)
    assert await engine.claim(key, first, 60) == first
    slot = slot_of(Keys().claim(key))
    owner, other = await cluster.owner(slot), await cluster.another(slot)
    await other.cluster("SETSLOT", str(slot), "IMPORTING", await owner.id())
    await owner.cluster("SETSLOT", str(slot), "MIGRATING", await other.id())
    name = Keys().claim(key)
    moved = ("127.0.0.1", str(other.port), name, "0", "5000")
    assert await owner.ask("MIGRATE", *moved) == b"+OK\r\n"
    asking = asyncio.create_task(engine.claim(key, second, 60))
    await asyncio.sleep(0.1)
    assert not asking.done()
    for server in (other, *cluster.primaries):
        await server.cluster("SETSLOT", str(slot), "NODE", await other.id())
    assert await asyncio.wait_for(asking, PATIENCE) == first
    assert not engine.lost.done()


async def test_a_cluster_that_has_lost_a_primary_is_not_used(
    engine: RedisEngine, opening: Opening, cluster: RedisCluster
) -> None:
    gone = cluster.primaries[1]
    await gone.kill()
    await asyncio.wait_for(asyncio.shield(engine.lost), PATIENCE)
    with pytest.raises(StoreError) as refused:
        await opening()
    assert refused.value.code == "store_unavailable"
    said = f"(cluster of 3 primaries and 0 replicas; no answer from 127.0.0.1:{gone.port})"
    assert said in refused.value.message
    await cluster.start()
    later = await opening(known=engine.incarnations)
    of_gone = {
        one for one, number in later.incarnations.items() if engine.incarnations[one] != number
    }
    layout = later._layout
    assert layout is not None
    assert of_gone == {
        one
        for one in range(PARTITIONS)
        if layout.url_at(slot_of(Keys().partition(one).names)) == gone.url
    }


async def test_the_servers_of_a_cluster_are_told(
    engine: RedisEngine, cluster: RedisCluster
) -> None:
    found = (await engine.topology()).cluster
    assert found is not None
    assert str(found) == "cluster of 3 primaries and 0 replicas"
    assert len(found.alone) == 3


async def test_servers_are_remembered_that_were_found(cluster: RedisCluster) -> None:
    named = reached_by(cluster.primaries[0].port)
    watch = ClusterWatch(named)
    watch.open()
    await watch.layout()
    await watch.close()
    gone = Cluster(["redis://127.0.0.1:1"], named.url_of, named.found)
    later = RedisEngine(gone)
    await later.open()
    await later.close()


async def test_a_server_that_was_taken_out_is_not_believed(
    cluster: RedisCluster, tmp_path: Path
) -> None:
    """Nor are those of the cluster that it is in now, however new their configuration is."""
    other = ClusterServer(tmp_path / "other", {})
    await other.start()
    await other.cluster("SET-CONFIG-EPOCH", "99")
    await other.cluster("ADDSLOTSRANGE", "0", "16383")
    await other.kill()
    watch = ClusterWatch(reached_by(*(one.port for one in cluster.primaries), other.port))
    try:
        watch.open()
        await eventually(lambda: watch.answering == (3, 4))
        await other.start()
        await eventually(lambda: "not of the same cluster" in str(watch._silent.get(other.url)))
        assert other.url not in (await watch.layout()).primaries
        assert watch.state.primaries == 3
    finally:
        await watch.close()
        await other.stop()


async def test_credentials_are_kept_beside(engine: RedisEngine) -> None:
    """Scripts of several keys, of which one is only named by what they read."""
    credentials = RedisCredentials(lambda: engine)
    label = Label("user", "ann")
    for number in range(3):
        made = Credential("key", f"k{number}", b"1", user="ann", created=float(number), expires=99)
        await credentials.add(made)
    assert [one.id for one in await credentials.listed("key", "", 10)] == ["k0", "k1", "k2"]
    assert await credentials.count("key", label, 50.0) == 3
    await credentials.revoke("key", "k1", 60.0)
    assert [one.id for one in await credentials.held("key", label, "", 10, 50.0)] == ["k0", "k2"]


async def test_a_cluster_is_not_taken_for_one_server_nor_the_reverse(
    cluster: RedisCluster, redis_server: RedisServer
) -> None:
    one = RedisEngine(cluster.primaries[0].url)
    with pytest.raises(StoreError, match=r"use redis\+cluster://"):
        await one.open()
    none = RedisEngine(reached_by(redis_server.port))
    with pytest.raises(StoreError, match="cluster support disabled"):
        await none.open()


# What servers say of each other

FIRST = "a 10.0.0.1:1@2 master - 0 0 4 connected 0-8191"
SECOND = "b 10.0.0.2:1@2,two.example.org master - 0 0 2 connected 8192-16382 16383 [7-<-a]"


def url_of(host: str, port: int) -> str:
    return f"redis://{host}:{port}"


def layout(*lines: str) -> Layout:
    return Layout([_Server.parse(line, "redis://asked:1", url_of) for line in lines])


def test_the_newest_claim_of_a_slot_counts() -> None:
    found = layout(FIRST, SECOND)
    assert found.primaries == ("redis://10.0.0.1:1", "redis://two.example.org:1")
    assert found.url_at(7) == "redis://10.0.0.1:1"
    assert found.url_at(16383) == "redis://two.example.org:1"
    promoted = "0 10.0.0.3:1@2 master - 0 0 5 connected 0-8191"
    for lines in ((FIRST, SECOND, promoted), (promoted, SECOND, FIRST)):
        assert layout(*lines).url_at(7) == "redis://10.0.0.3:1"
    replica = "c 10.0.0.3:1@2 slave a 0 0 9 connected"
    assert layout(FIRST, SECOND, replica).primaries == found.primaries


def test_a_server_that_does_not_know_its_host_is_where_it_was_asked() -> None:
    found = layout("a :1@2 myself,master - 0 0 1 connected 0-16383")
    assert found.primaries == ("redis://asked:1",)


def test_slots_that_nobody_has_are_said() -> None:
    found = layout(FIRST)
    with pytest.raises(StoreError, match=r"slot 9000 \(8192 in all\)"):
        found.url_at(9000)


def test_a_server_has_a_tag_of_its_own_that_is_no_partitions() -> None:
    half = layout(FIRST, SECOND)
    tags = [
        own_tag(lambda slot, url=url: half.has(url, slot))  # type: ignore[misc]
        for url in half.primaries
    ]
    assert len(set(tags)) == 2
    assert all(int(tag) >= PARTITIONS for tag in tags)
    assert half.has(half.primaries[0], slot_of(Keys().beat("x", tags[0])))


async def test_the_forks_that_are_to_be_looked_for_are_found_on_all_primaries(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(scripts.CONSTANTS, "HOLD_MS", 0)
    engine = await opening()
    holds = {SourceHold(name, f"fork of {name}", "1") for name in map(str, range(20))}
    for hold in holds:
        await engine.create(hold.source, BYTES)
        assert await engine.hold(hold, 0)
    due = await engine.due_forks()
    assert {one.hold for one in due} == holds
    for hold, at in due[::2]:
        await engine.release(hold, due=at)
    for one in due[1::2]:
        await engine.keep_fork(one, None)
    assert await engine.due_forks() == []
    forks = [(await engine.load(one.hold.source, 0)).forks for one in due]
    assert forks == [0, 1] * 10


async def test_a_cluster_that_a_newer_hub_uses_is_refused(
    cluster: RedisCluster, opening: Opening
) -> None:
    await (await opening()).close()
    primary = await cluster.owner(slot_of(Keys().version))
    assert await primary.ask("GET", Keys().version) == b"$1\r\n%d\r\n" % VERSION
    await primary.ask("SET", Keys().version, str(VERSION + 1))
    with pytest.raises(StoreError) as refused:
        await opening()
    assert refused.value.code == "store_newer"
