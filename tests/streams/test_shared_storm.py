"""Many faults at once: three nodes write and read a stream on one engine that is broken meanwhile.

Each of its producers retries an append until it is acknowledged. Whatever happens, every append is
there once and in order, every position has one content, and every reader has what it would have
had without any fault: it was reset where it had seen what was un-written, and nowhere else.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from hub.domain.errors import StoreError, StreamNotFound
from hub.domain.producers import Stamp
from hub.domain.records import Position
from hub.domain.stream_settings import StreamSettings
from hub.stores.coordinator.client import CoordinatorEngine, unavailable
from hub.stores.redis.keys import Keys, slot_of
from hub.streams.mirror import Mirror
from hub.streams.mirrors import Mirrors
from hub.streams.shared_writer import SharedWriter
from hub.streams.wait import until
from tests.support.coordinator_server import CoordinatorServer
from tests.support.patience import PATIENCE
from tests.support.redis_cluster import ClusterServer, RedisCluster
from tests.support.redis_server import RedisServer
from tests.support.seeds import seeds
from tests.support.sentinels import WatchedServers
from tests.support.shared_nodes import Nodes, bodies, shown
from tests.support.shared_servers import SharedServer

BYTES = StreamSettings("application/octet-stream")
NODES = 3
APPENDS = 60
"""Of each producer."""
FAULTS = 6
PROMOTIONS = 2
KILLS = 4
"""Of workers, in the storm of processes."""
SETTLE = 1.0
"""Seconds; a busy machine may need longer than usual to put something back."""


class Reader:
    """Follows a stream on one node, and comes back to it with its position."""

    def __init__(self, node: Mirrors) -> None:
        self._node = node
        self.position = Position(0, 0)
        self.held: list[bytes] = []
        self.resets = 0

    async def follow(self, seen: dict[Position, bytes]) -> None:
        """Read until cancelled; ``seen`` are the contents of all positions, whoever read them."""
        while True:
            try:
                await self._follow(seen)
            except (StoreError, StreamNotFound):
                await asyncio.sleep(0.01)

    async def _follow(self, seen: dict[Position, bytes]) -> None:
        mirror = await self._node.open("s")
        place = mirror.place(self.position)
        if place.reset is not None:
            assert place.reset.reason == "unwritten", "nothing is trimmed here"
            self.resets += 1
        offset = place.offset
        del self.held[offset:]
        while not mirror.lost:
            while offset < mirror.tail:
                batch = await mirror.fetch(offset, 1024)
                assert batch.records, "nothing is missing"
                for record in batch.records:
                    assert record.offset == offset == len(self.held)
                    at = Position(batch.position.epoch, offset)
                    assert seen.setdefault(at, record.body) == record.body
                    self.held.append(record.body)
                    offset += 1
                self.position = batch.position
            self.position = max(self.position, mirror.position_at(offset))
            await until(mirror, partial(_has, mirror, offset), within=0.5)


def _has(mirror: Mirror, offset: int) -> bool:
    return mirror.tail > offset


async def produce(
    writer: SharedWriter,
    producer: str,
    start: int = 0,
    told: Callable[[int], None] = lambda number: None,
    *,
    end: int = APPENDS,
) -> None:
    for number in range(start, end):
        body = b"%s-%d" % (producer.encode(), number)
        while True:
            try:
                await writer.write("s", [(body, None)], stamp=Stamp(producer, 0, number))
            except StoreError:
                await asyncio.sleep(0.02)
            else:
                break
        told(number)
        await asyncio.sleep(0.005)


Fault = Callable[[], Awaitable[None]]


def of_redis(server: RedisServer, chance: random.Random) -> dict[str, Fault]:
    """What can happen to a Redis."""

    async def kill() -> None:
        await server.kill()
        await asyncio.sleep(chance.uniform(0.0, 0.3))
        await server.start()

    async def cut() -> None:
        await server.kill()
        server.cut(chance)
        await server.start()
        await server.restart()  # what was cut off may show only now

    async def promote() -> None:
        await server.ask("REPLICAOF", "127.0.0.1", "1")
        await server.ask("REPLICAOF", "NO", "ONE")

    async def ask(*words: str) -> None:
        await server.ask(*words)

    return {
        "kill": kill,
        "cut": cut,
        "empty": server.restart_empty,
        "flush": partial(ask, "FLUSHALL"),
        "freeze": partial(frozen, server, chance),
        "bus": partial(ask, "CLIENT", "KILL", "TYPE", "pubsub"),
        "commands": partial(ask, "CLIENT", "KILL", "TYPE", "normal"),
        "promote": promote,
    }


def of_coordinator(
    server: CoordinatorServer, chance: random.Random, nodes: list[Mirrors]
) -> dict[str, Fault]:
    """What can happen to a coordinator, its file, and its connections."""

    async def kill() -> None:
        await server.kill()
        await asyncio.sleep(chance.uniform(0.0, 0.3))
        await server.start()

    async def leave() -> None:
        await server.leave()
        await server.start()

    async def cut() -> None:
        await server.kill()
        server.cut(chance)
        await server.start()

    async def older() -> None:
        await server.kill()
        server.put_back()
        await server.start()

    async def connection() -> None:
        engine = chance.choice(nodes)._engine
        assert isinstance(engine, CoordinatorEngine)
        engine._lose(unavailable("a test has cut it"))

    return {
        "kill": kill,
        "leave": leave,
        "cut": cut,
        "empty": server.restart_empty,
        "older": older,
        "freeze": partial(frozen, server, chance),
        "connection": connection,
    }


async def frozen(server: SharedServer, chance: random.Random) -> None:
    server.freeze()
    await asyncio.sleep(chance.uniform(0.0, 0.3))
    server.thaw()


async def broken(faults: dict[str, Fault], chance: random.Random) -> None:
    for _ in range(FAULTS):
        await asyncio.sleep(chance.uniform(0.05, 0.4))
        await faults[chance.choice(list(faults))]()


@pytest.mark.parametrize("kind", ["redis", "coordinator"])
@pytest.mark.parametrize("seed", seeds(4))
async def test_every_append_is_there_once_and_every_reader_has_it(
    tmp_path: Path, seed: int, kind: str
) -> None:
    chance = random.Random(seed)  # noqa: S311 - not a secret
    server: RedisServer | CoordinatorServer
    server = (RedisServer if kind == "redis" else CoordinatorServer)(tmp_path / "server")

    async def breaks(nodes: list[Mirrors]) -> None:
        if isinstance(server, RedisServer):
            await broken(of_redis(server, chance), chance)
        else:
            await broken(of_coordinator(server, chance, nodes), chance)

    await storm(server, breaks)


@pytest.mark.parametrize("seed", seeds(20))
async def test_nothing_is_lost_where_the_file_of_redis_ends_at_any_byte(
    tmp_path: Path, seed: int
) -> None:
    """It is killed, its file is cut off somewhere, and it comes back with what is left, twice."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    server = RedisServer(tmp_path / "server")

    async def cut(_: list[Mirrors]) -> None:
        await asyncio.sleep(chance.uniform(0.05, 0.2))
        await of_redis(server, chance)["cut"]()

    await storm(server, cut, appends=20)


@pytest.mark.parametrize("seed", seeds(2))
async def test_nothing_is_lost_whatever_sentinels_promote(tmp_path: Path, seed: int) -> None:
    """The primary is killed, or stands still, or lives, while its replica is made the next one."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    watched = WatchedServers(tmp_path / "watched")

    async def killed(primary: RedisServer, replica: RedisServer) -> None:
        await primary.kill()
        await watched.promoted(replica)
        await watched.come_back(primary)

    async def stood(primary: RedisServer, replica: RedisServer) -> None:
        primary.freeze()
        await watched.promoted(replica)
        primary.thaw()

    async def lived(primary: RedisServer, replica: RedisServer) -> None:
        await watched.promote(replica)

    async def promote(_: list[Mirrors]) -> None:
        pair = (watched.primary, watched.replica)
        for number in range(PROMOTIONS):
            primary, replica = pair[number % 2], pair[1 - number % 2]
            await asyncio.sleep(chance.uniform(0.05, 0.4))
            await chance.choice([killed, stood, lived])(primary, replica)
            await watched.linked(primary)

    await storm(watched, promote, appends=300)


@pytest.mark.parametrize("seed", range(2))
async def test_nothing_is_lost_whatever_a_cluster_moves_and_promotes(
    tmp_path: Path, seed: int
) -> None:
    """The slot is moved key by key, or a replica takes the place of its primary."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    cluster = RedisCluster(tmp_path / "cluster", replicas=True)
    slot = slot_of(Keys().of("s").meta)

    async def moved(primary: ClusterServer, replica: ClusterServer) -> None:
        await cluster.move(slot, await cluster.another(slot), slowly=chance.uniform(0.0, 0.1))

    async def killed(primary: ClusterServer, replica: ClusterServer) -> None:
        await primary.kill()
        await cluster.promoted(replica)
        await primary.start()

    async def stood(primary: ClusterServer, replica: ClusterServer) -> None:
        primary.freeze()
        await cluster.promoted(replica)
        primary.thaw()

    async def lived(primary: ClusterServer, replica: ClusterServer) -> None:
        await cluster.promote(replica)

    async def breaks(_: list[Mirrors]) -> None:
        for fault in chance.sample([moved, killed, stood, lived, moved], k=4):
            await asyncio.sleep(chance.uniform(0.05, 0.4))
            primary = await cluster.owner(slot)
            await fault(primary, await cluster.replica_of(primary))
            await cluster.whole()

    await storm(cluster, breaks, appends=300)


async def storm(
    server: SharedServer | WatchedServers,
    breaks: Callable[[list[Mirrors]], Awaitable[None]],
    *,
    appends: int = APPENDS,
) -> None:
    """Three nodes write and read a stream on a server, which is started and then broken."""
    await server.start()
    started = Nodes(server, settle_seconds=SETTLE)
    nodes = [await started.start() for _ in range(NODES)]
    writers = [SharedWriter(node) for node in nodes]
    await writers[0].create("s", BYTES)
    seen: dict[Position, bytes] = {}
    readers = [Reader(node) for node in nodes]
    following = [asyncio.create_task(reader.follow(seen)) for reader in readers]
    producing = [
        asyncio.create_task(produce(writer, f"p{number}", end=appends))
        for number, writer in enumerate(writers)
    ]
    try:
        async with asyncio.timeout(PATIENCE):
            await breaks(nodes)
            await asyncio.gather(*producing)
            end = (await writers[0].load("s")).position
            while any(len(reader.held) < end.offset for reader in readers):
                assert not any(task.done() for task in following), following
                await asyncio.sleep(0.02)
            # It may come while the others still put back what was lost after the last append, and
            # before it has heard that the server is another one.
            late = await started.start()
            while True:
                with suppress(StoreError):
                    kept = await shown(await late.open("s"), end.offset)
                    break
                await asyncio.sleep(0.02)
    finally:
        for task in (*following, *producing):
            task.cancel()
        await asyncio.gather(*following, *producing, return_exceptions=True)
        await started.stop()
        await server.stop()
    held = readers[0].held
    assert [reader.held for reader in readers] == [held] * NODES
    assert kept == held, "what the server has is whole, too"
    for number in range(NODES):
        own = [body for body in held if body.startswith(b"p%d-" % number)]
        assert own == [b"p%d-%d" % (number, one) for one in range(appends)]
    assert len(held) == NODES * appends


async def test_workers_that_are_killed_lose_and_double_nothing(tmp_path: Path) -> None:
    """Workers are processes, killed again and again; so is their coordinator."""
    chance = random.Random(7)  # noqa: S311 - not a secret
    server = CoordinatorServer(tmp_path / "server")
    await server.start()
    started = Nodes(server, settle_seconds=SETTLE)
    node = await started.start()
    await SharedWriter(node).create("s", BYTES)
    seen: dict[Position, bytes] = {}
    reader = Reader(node)
    following = asyncio.create_task(reader.follow(seen))
    workers = [Worker(server.path, f"p{number}") for number in range(2)]
    try:
        async with asyncio.timeout(PATIENCE):
            for worker in workers:
                await worker.start()
            for number in range(KILLS):
                await workers[number % 2].acknowledged(chance.randrange(3, 12))
                await workers[number % 2].kill()
                if number % 2:
                    await server.restart()
                await workers[number % 2].start()
            for worker in workers:
                await worker.done()
            while len(reader.held) < len(workers) * APPENDS:
                assert not following.done(), following
                await asyncio.sleep(0.02)
            kept = await bodies(await (await started.start()).open("s"))
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        for worker in workers:
            await worker.kill()
        await started.stop()
        await server.stop()
    assert kept == reader.held
    for number in range(len(workers)):
        own = [body for body in kept if body.startswith(b"p%d-" % number)]
        assert own == [b"p%d-%d" % (number, one) for one in range(APPENDS)]
    assert len(kept) == len(workers) * APPENDS
    assert reader.resets == 0, "what was shown had been committed"


class Worker:
    """A process that appends for one producer, and goes on where it was told last."""

    def __init__(self, path: Path, producer: str) -> None:
        self._path = path
        self._producer = producer
        self._next = 0
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__, self._path, self._producer, str(self._next)),
            stdout=asyncio.subprocess.PIPE,
        )

    async def acknowledged(self, count: int) -> None:
        """Wait until so many more appends were acknowledged."""
        for _ in range(count):
            if not await self._one():
                return

    async def done(self) -> None:
        """Wait until all are."""
        while await self._one():
            pass

    async def _one(self) -> bool:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if line:
            self._next = int(line) + 1
        return bool(line) and self._next < APPENDS

    async def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            assert self._process.stdout is not None
            while line := await self._process.stdout.readline():
                self._next = int(line) + 1
            await self._process.wait()
            self._process = None


async def work(path: str, producer: str, start: str) -> None:
    node = Mirrors(lambda known: CoordinatorEngine(Path(path), known=known))
    while True:
        try:
            await node.start()
        except StoreError:
            await asyncio.sleep(0.02)
        else:
            break

    def told(number: int) -> None:
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()

    await produce(SharedWriter(node), producer, int(start), told)
    await node.stop()


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
