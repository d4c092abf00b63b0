"""A write is acknowledged once it is where ``store.acknowledge`` says, and others do not wait."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.domain.errors import StoreError
from hub.domain.stream_settings import StreamSettings
from hub.stores.redis import acknowledgements
from hub.stores.redis.engine import RedisEngine
from hub.stores.redis.keys import Keys
from hub.stores.redis.server import check_server
from hub.stores.shared import Written
from tests.stores.redis.conftest import Opening
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.shared_servers import code_of, kept

BYTES = StreamSettings("application/octet-stream")
RECORDS = Keys().of("s").records
MANY = 100


@pytest.fixture
async def replica(server: RedisServer, tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A server that follows the first one."""
    made = RedisServer(tmp_path / "replica")
    await made.start()
    await made.ask("REPLICAOF", "127.0.0.1", str(server.port))
    await server.ask("WAIT", "1", str(round(PATIENCE * 1000)))
    yield made
    await made.stop()


@pytest.fixture(autouse=True)
def patient_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WAIT_SECONDS", "ANSWER_SECONDS"):
        monkeypatch.setattr(acknowledgements, name, PATIENCE)


async def calls(server: RedisServer, command: str) -> int:
    said = (await server.ask("INFO", "commandstats")).decode()
    found = re.search(rf"cmdstat_{command}:calls=(\d+)", said)
    return int(found[1]) if found else 0


async def test_what_is_acknowledged_is_on_a_replica(opening: Opening, replica: RedisServer) -> None:
    engine = await opening(acknowledge="replica")
    await engine.create("s", BYTES)
    for number in range(1, 20):
        await engine.write("s", [b"%d" % number])
        assert await replica.ask("XLEN", RECORDS) == b":%d\r\n" % number


async def begun(engine: RedisEngine) -> asyncio.Task[Written]:
    """A write that the server has, and that waits for its replica."""
    writing = asyncio.create_task(engine.write("s", [b"1"]))
    async with asyncio.timeout(PATIENCE):
        while not await kept(engine, "s"):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    return writing


async def test_only_who_writes_waits_for_a_replica_that_is_slow(
    opening: Opening, replica: RedisServer
) -> None:
    engine = await opening(acknowledge="replica")
    await engine.create("s", BYTES)
    replica.freeze()
    try:
        writing = await begun(engine)
        assert not writing.done()
        assert (await engine.touch("s")).tail == 1
        assert not writing.done()
    finally:
        replica.thaw()
    assert (await writing).tail == 1


async def test_many_writers_share_a_wait(
    opening: Opening, server: RedisServer, replica: RedisServer
) -> None:
    engine = await opening(acknowledge="replica")
    await engine.create("s", BYTES)
    before = await calls(server, "wait")
    await asyncio.gather(*(engine.write("s", [b"%d" % number]) for number in range(MANY)))
    assert 1 <= await calls(server, "wait") - before < MANY / 2


async def test_a_write_that_no_replica_has_is_not_confirmed(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await opening(acknowledge="replica")
    monkeypatch.setattr(acknowledgements, "WAIT_SECONDS", 0.05)
    assert await code_of(engine.create("s", BYTES, [b"1"])) == "store_slow"
    assert await kept(engine, "s") == [b"1"], "it is there, and may be confirmed later"
    assert not engine.lost.done()


async def test_who_waits_is_told_that_the_server_is_lost(
    opening: Opening, server: RedisServer, replica: RedisServer
) -> None:
    engine = await opening(acknowledge="replica")
    await engine.create("s", BYTES)
    replica.freeze()
    try:
        writing = await begun(engine)
        await server.kill()
        assert await code_of(writing) == "store_unavailable"
        assert engine.lost.done()
    finally:
        replica.thaw()


async def test_what_is_acknowledged_is_on_the_disk(opening: Opening, server: RedisServer) -> None:
    """Only newer servers can say that; others are refused."""
    version = re.search(rb"redis_version:(\d+)\.(\d+)", await server.ask("INFO", "server"))
    assert version is not None
    if tuple(map(int, version.groups())) < (7, 2):
        with pytest.raises(StoreError, match=r"needs Redis 7\.2"):
            await opening(acknowledge="disk")
        return
    engine = await opening(acknowledge="disk")
    await engine.create("s", BYTES)
    await engine.write("s", [b"1"])
    assert await calls(server, "waitaof") == 2


def test_a_server_is_asked_for_its_disk_only_if_it_can_tell() -> None:
    said = {"redis_version": "7.2.4", "role": "master", "aof_enabled": "1"}
    check_server(said, "disk")
    with pytest.raises(StoreError, match="needs appendonly yes"):
        check_server({**said, "aof_enabled": "0"}, "disk")
    with pytest.raises(StoreError, match=r"needs Redis 7\.2"):
        check_server({**said, "redis_version": "7.0.15"}, "disk")
    check_server({**said, "redis_version": "7.0.15"}, "replica")
