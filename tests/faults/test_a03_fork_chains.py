"""Chains of forks of any length, and tasks of the hub that end: neither stops the others."""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw
import pytest
from aiohttp import WSMsgType

from hub.background import Background
from hub.domain.counters import Counters
from hub.domain.errors import Conflict, StreamNotFound
from hub.domain.events import Message
from hub.domain.stream_settings import StreamSettings
from hub.stores import Store
from hub.stores.memory import MemoryStore
from hub.stores.sqlite import SQLiteStore
from hub.streams.registry import StreamLimits, Streams
from hub.streams.stream import Retention, Stream
from tests.conftest import Running, StartHub
from tests.support.patience import PATIENCE, patient
from tests.support.redis_server import RedisServer

DEPTH: Final = 300


@contextmanager
def shallow() -> Iterator[None]:
    """A call stack that is used up by a hundred more calls."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class Registry:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.time = 0.0
        self.swept = 0.0
        self.streams = Streams(
            store,
            retention=Retention(),
            limits=StreamLimits(streams=20_000),
            slice_size=250,
            counts=Counters(),
            clock=lambda: self.time,
        )

    async def chain(self, depth: int, settings: StreamSettings | None = None) -> None:
        """``f0``, its fork ``f1``, and so on; each has a record of its own."""
        stream, _ = await self.streams.create("f0", settings)
        for number in range(1, depth):
            stream.append(Message("user", str(number)))
            stream, _ = await self.streams.fork(f"f{number}", f"f{number - 1}", None)
        await self.store.synced()

    async def remove(self, name: str) -> None:
        await self.streams.remove(await self.streams.open(name))

    async def sweep(self) -> None:
        self.swept += 1000.0
        await self.streams.sweep(self.swept)

    async def are_free(self, depth: int) -> bool:
        for number in range(depth):
            if not await self._is_free(f"f{number}"):
                return False
        return True

    async def _is_free(self, name: str) -> bool:
        try:
            await self.streams.open(name)
        except StreamNotFound:
            return True
        return False


@pytest.fixture(params=["memory", "sqlite"])
async def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    store: Store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "hub.db")
    await store.start()
    yield Registry(store)
    await store.stop()


async def test_a_chain_of_hidden_sources_goes_with_its_last_fork(registry: Registry) -> None:
    await registry.chain(DEPTH)
    with shallow():
        for number in range(DEPTH - 1):
            await registry.remove(f"f{number}")
        with pytest.raises(Conflict):
            await registry.streams.create("f0")
        await registry.remove(f"f{DEPTH - 1}")
        assert await registry.are_free(DEPTH)
    await registry.streams.create("f0")


async def test_a_chain_that_expires_all_at_once(registry: Registry) -> None:
    await registry.chain(DEPTH, StreamSettings(ttl=10))
    registry.time = 1000.0
    with shallow():
        await registry.sweep()
        await registry.sweep()
        assert await registry.are_free(DEPTH)


async def test_a_chain_that_leaves_memory_or_the_hub(registry: Registry) -> None:
    await registry.chain(DEPTH)
    with shallow():
        await registry.sweep()
        await registry.sweep()
        if registry.store.durable:
            newest = await registry.streams.open(f"f{DEPTH - 1}")
            assert await texts(newest) == [str(number) for number in range(1, DEPTH)]


async def texts(stream: Stream) -> list[str]:
    return [event.text async for event in stream.events() if isinstance(event, Message)]


@pytest.mark.timeout(patient(900))
async def test_a_chain_of_ten_thousand(tmp_path: Path) -> None:
    """Cold, as after a restart: each source is read from the file for its removal."""
    depth = 10_000
    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    await Registry(store).chain(depth)
    await store.stop()
    again = SQLiteStore(tmp_path / "hub.db")
    await again.start()
    registry = Registry(again)
    newest = await registry.streams.open(f"f{depth - 1}")
    first = (await newest.fetch(0, 1)).records[0]
    assert isinstance(first.event, Message)
    assert first.event.text == "1"
    # Whoever deletes from the front leaves the whole chain hidden to the last fork.
    database = apsw.Connection(str(tmp_path / "hub.db"))
    database.set_busy_timeout(5000)
    database.execute("UPDATE streams SET hidden = 1, closed = 1 WHERE name <> ?", (newest.name,))
    await registry.remove(newest.name)
    await again.synced()
    assert database.execute("SELECT count(*) FROM streams").get == 0
    database.close()
    await registry.sweep()
    assert await registry.are_free(1)
    await again.stop()


async def test_hidden_sources_that_a_kill_left_behind_are_found(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    await Registry(store).chain(3)
    await store.stop()
    database = apsw.Connection(str(tmp_path / "hub.db"))
    database.execute("UPDATE streams SET hidden = 1 WHERE name <> 'f2'")
    database.execute("DELETE FROM streams WHERE name = 'f2'")
    database.close()
    again = SQLiteStore(tmp_path / "hub.db")
    await again.start()
    registry = Registry(again)
    with pytest.raises(Conflict):
        await registry.streams.create("f0")
    await registry.sweep()
    assert await registry.are_free(3)
    await again.stop()


# Tasks that end


BACKGROUND: Final = (
    "the sweep of connections",
    "the sweep of streams",
    "the eviction of rejected streams",
    "the refresh of principals",
)

SHARED: Final = (
    "the lease of this hub",
    "the limits of all hubs",
    "the sources of forks",
    "the presence of others",
    "the news of other hubs",
)
"""Those of a hub that shares its store with others."""


# A hub that asks an application has all of them.
ASKED: Final = {"webhook": {"url": "http://127.0.0.1:9/", "secret_env": "ASKED_SECRET"}}


async def status(running: Running) -> int:
    async with running.client.get("/readyz") as response:
        return response.status


def task(what: str) -> asyncio.Task[Any]:
    return next(one for one in asyncio.all_tasks() if one.get_name() == what)


@pytest.mark.parametrize("what", BACKGROUND)
async def test_a_task_of_the_hub_that_ends_is_told_of_and_begins_again(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setenv("ASKED_SECRET", "whsec_" + "QUFB" * 11)
    await is_told_of(await start_hub(auth=ASKED), what, monkeypatch)


@pytest.mark.parametrize("what", SHARED)
async def test_a_task_of_a_hub_among_several_that_ends_is_told_of_and_begins_again(
    start_hub: StartHub, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    store = {"url": f"redis://127.0.0.1:{redis_server.port}"}
    await is_told_of(await start_hub(store=store), what, monkeypatch)


async def is_told_of(running: Running, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.background.SOUND_SECONDS", PATIENCE)
    assert await status(running) == 200
    killed = task(what)
    killed.cancel()
    await asyncio.wait([killed])
    assert await status(running) == 503
    monkeypatch.setattr("hub.background.SOUND_SECONDS", 1.0)
    async with asyncio.timeout(PATIENCE):
        while await status(running) != 200:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    assert task(what) is not killed
    async with running.client.get("/metrics") as response:
        assert "streamhub_failures_total 1.0" in await response.text()


def test_every_task_of_the_hub_is_killed_above() -> None:
    """Whoever adds one adds it there."""
    hub = Path(__file__).parents[2] / "hub"
    source, backends = ((hub / name).read_text("utf-8") for name in ("hub.py", "backends.py"))
    named = re.findall(r'Background\("([^"]+)"', source)
    of_backends = re.findall(r'"([^"]+)": self\.', backends)
    assert len(named) == source.count("Background(") - 1, "one is of the backend"
    assert sorted([*named, *of_backends]) == sorted([*BACKGROUND, *SHARED])


async def test_a_task_that_fails_every_time_keeps_the_hub_from_being_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hub.background.PAUSE_SECONDS", 0.01)
    counts = Counters()
    began = 0

    async def fails() -> None:
        nonlocal began
        began += 1
        raise RuntimeError("a mistake")

    one = Background("failing", fails, counts)
    one.start()
    async with asyncio.timeout(PATIENCE):
        while began < 5:
            await asyncio.sleep(0.01)
            assert began == 0 or one.trouble is not None or counts.failures == 0
    await one.stop()
    assert counts.failures >= 4
    assert "failing" in (one.trouble or "")


async def test_one_connection_that_cannot_be_looked_after_leaves_the_others(
    start_hub: StartHub,
) -> None:
    running = await start_hub(server={"beat_seconds": 0.2, "ws_beat_seconds": 0.2})
    sockets = [
        await running.client.ws_connect("/v1/ws", protocols=["hub.v1"], autoclose=False)
        for _ in range(3)
    ]
    for socket in sockets:
        await socket.send_json({"type": "ping", "id": 1})
        assert (await heard(socket))["type"] == "ok"
    broken = next(iter(running.hub.connections))
    broken.beat_at = "never"  # type: ignore[assignment]  # what no comparison survives
    heard_last = await asyncio.gather(*map(until_two_beats, sockets))
    assert sorted(heard_last) == [False, True, True]
    assert await status(running) == 200


async def heard(socket: Any) -> dict[str, Any]:
    while (said := await socket.receive_json(timeout=PATIENCE))["type"] in ("hello", "beat"):
        pass
    return dict(said)


async def until_two_beats(socket: Any) -> bool:
    """Whether two beats come; the other is a connection that was cut off."""
    beats = 0
    while beats < 2:
        said = await socket.receive(timeout=PATIENCE)
        if said.type is not WSMsgType.TEXT:
            return False
        beats += said.json()["type"] == "beat"
    return True


async def test_a_stream_that_cannot_be_looked_after_leaves_the_others(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start_hub(streams={"keep_idle_seconds": 0.1})
    for name in ("a", "b", "c"):
        await running.hub.streams.create(name)
    look_at = Streams.sweep_one

    async def fails(streams: Streams, kept: Any, now: float) -> None:
        if kept.stream.name == "b":
            raise RuntimeError("a mistake")
        await look_at(streams, kept, now)

    monkeypatch.setattr(Streams, "sweep_one", fails)
    async with asyncio.timeout(PATIENCE):
        while running.hub.streams.held > 1:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    assert await status(running) == 200


async def test_a_writer_thread_that_ends_fails_readiness(
    monkeypatch: pytest.MonkeyPatch, start_hub: StartHub, tmp_path: Path
) -> None:
    def fails(*_: object) -> None:
        raise SystemError("no more threads of this kind")

    monkeypatch.setattr(SQLiteStore, "_commit", fails)
    monkeypatch.setattr("hub.stores.sqlite.store.PATIENCE_SECONDS", 0.2)
    running = await start_hub(store={"url": f"sqlite:{tmp_path / 'hub.db'}"})
    async with running.client.put("/v1/stream/s") as response:
        assert response.status == 507
    async with running.client.get("/readyz") as response:
        assert response.status == 503
        assert "restart the hub" in await response.text()
