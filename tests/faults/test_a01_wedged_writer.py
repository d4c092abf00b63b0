"""Ordinary requests on one stream never keep the hub from writing.

A stream that is not in memory was removed while another request opened it; the opener got
the stream as it was before, wrote to it, and the writer failed at that for ever. So here
everything that may happen to a stream happens at the same time, in every order of its waits.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.counters import Counters
from hub.domain.errors import HubError, StoreError
from hub.domain.events import Message
from hub.domain.records import Record
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores import Appended, Created, Removed
from hub.stores.sqlite import SQLiteStore
from hub.streams.registry import StreamLimits, Streams
from hub.streams.stream import Retention, Stream
from tests.conftest import Running, StartHub
from tests.support.strategies import examples

T = TypeVar("T")

NAMES: Final = ("a", "b", "c")
TTL: Final = 10


class Gated(SQLiteStore):
    """A store that reads only when it is told to, before and after each read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gates: list[asyncio.Future[None]] = []
        self.gated = False

    async def _in_reader(self, task: Callable[[], T]) -> T:
        await self._gate()
        found = await super()._in_reader(task)
        await self._gate()
        return found

    async def _gate(self) -> None:
        if self.gated:
            gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.gates.append(gate)
            await gate


class Operations:
    """What may be done to streams, over a store whose every wait is released from outside."""

    def __init__(self, path: Path) -> None:
        self.store = Gated(path)
        self.counts = Counters()
        self.time = 0.0
        self.swept = 0.0
        self.streams = self._registry()
        self.tasks: list[asyncio.Task[None]] = []
        self.written: dict[str, list[bytes]] = {name: [] for name in NAMES}
        """Acknowledged records of streams that nothing has removed."""
        self.removing = dict.fromkeys(NAMES, 0)
        self._number = 0

    def _registry(self) -> Streams:
        return Streams(
            self.store,
            retention=Retention(),
            limits=StreamLimits(keep_warm=0.5),
            slice_size=250,
            counts=self.counts,
            clock=lambda: self.time,
        )

    def start(self, operation: str, name: str, other: str) -> None:
        """Begin an operation; it goes on when its waits are released."""
        work: Coroutine[Any, Any, None] = getattr(self, operation)(name, other)
        self.tasks.append(asyncio.create_task(self._unless_refused(work)))

    async def _unless_refused(self, work: Awaitable[None]) -> None:
        try:
            await work
        except StoreError:
            raise
        except HubError:
            pass  # there is none of the name, or one too many: a proper answer

    async def open(self, name: str, other: str) -> None:
        del other
        await self.streams.open(name)

    async def create(self, name: str, other: str) -> None:
        del other
        stream, _ = await self.streams.create(name)
        await self._append(stream)

    async def create_for_a_while(self, name: str, other: str) -> None:
        del other
        # It may expire from now on.
        self._removes(name)
        stream, _ = await self.streams.create(name, StreamSettings(ttl=TTL))
        await self._append(stream)

    async def append(self, name: str, other: str) -> None:
        del other
        await self._append(await self.streams.open(name))

    async def remove(self, name: str, other: str) -> None:
        del other
        self._removes(name)
        await self.streams.remove(await self.streams.open(name))
        await self.store.synced()

    async def fork(self, name: str, other: str) -> None:
        stream, _ = await self.streams.fork(name, other, None)
        await self._append(stream)

    async def sweep(self, name: str, other: str) -> None:
        del name, other
        self.swept += 100.0
        await self.streams.sweep(self.swept)

    async def wait(self, name: str, other: str) -> None:
        del name, other
        self.time += TTL + 1

    async def commit(self, name: str, other: str) -> None:
        del name, other
        await self.store.synced()

    def _removes(self, name: str) -> None:
        self.removing[name] += 1
        self.written[name].clear()

    async def _append(self, stream: Stream) -> None:
        self._number += 1
        removals = self.removing[stream.name]
        record = stream.append(Message("user", str(self._number)))
        await stream.committed()
        if not self.removing[stream.name]:
            assert removals == 0
            self.written[stream.name].append(record.body)

    async def finish(self) -> None:
        """Release everything, and see each operation to its end."""
        self.store.gated = False
        while waiting := [task for task in self.tasks if not task.done()]:
            for gate in self.store.gates:
                if not gate.done():
                    gate.set_result(None)
            await asyncio.wait(waiting, timeout=0.01)
        for task in self.tasks:
            task.result()
        await self.store.synced()

    async def held(self) -> dict[str, list[bytes] | None]:
        """What each stream holds now, from its first record."""
        found: dict[str, list[bytes] | None] = {}
        for name in NAMES:
            stream = await self.streams._find(name)  # also a hidden one
            found[name] = None if stream is None else await bodies(stream)
        return found


async def bodies(stream: Stream) -> list[bytes]:
    found: list[Record] = []
    while stream.head + len(found) < stream.tail:
        part = (await stream.fetch(stream.head + len(found), 1000)).records
        assert part, f"{stream.name} has a hole at {stream.head + len(found)}"
        found.extend(part)
    assert [record.offset for record in found] == list(range(stream.head, stream.tail))
    return [record.body for record in found]


OPERATIONS: Final = (
    "open", "create", "create_for_a_while", "append", "remove", "fork", "sweep", "wait", "commit",
)  # fmt: skip

STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(OPERATIONS), st.sampled_from(NAMES), st.sampled_from(NAMES)),
        st.integers(0, 5),
    ),
    min_size=10,
    max_size=60,
)


@examples(100)
@given(before=st.lists(st.sampled_from(OPERATIONS), max_size=6), steps=STEPS)
def test_whatever_happens_at_the_same_time_can_be_written(
    before: list[str], steps: list[tuple[str, str, str] | int]
) -> None:
    asyncio.run(_happens(before, steps))


async def _happens(before: list[str], steps: list[tuple[str, str, str] | int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        operations = Operations(Path(folder) / "hub.db")
        store = operations.store
        await store.start()
        for name, operation in zip(NAMES * 2, before, strict=False):
            operations.start(operation, name, NAMES[0])
        await operations.finish()
        store.gated = True
        for step in steps:
            if isinstance(step, int):
                waiting = [gate for gate in store.gates if not gate.done()]
                if waiting:
                    waiting[step % len(waiting)].set_result(None)
                # A read takes a thread; what it finds must not depend on how long that takes.
                await asyncio.sleep(0.001)
            else:
                operations.start(*step)
            await asyncio.sleep(0)
        await operations.finish()
        assert (store.trouble, dict(store.rejected), operations.counts.rejections) == (None, {}, 0)
        held = await operations.held()
        for name, written in operations.written.items():
            if not operations.removing[name]:
                there = held[name] or []
                assert all(body in there for body in written), "acknowledged, and lost"
        await store.stop()
        again = Operations(Path(folder) / "hub.db")
        again.time = operations.time
        await again.store.start()
        assert await again.held() == held
        await again.store.stop()


# Over HTTP


async def put(hub: Running, name: str, **headers: str) -> int:
    sent = {"Content-Type": "application/json", **headers}
    async with hub.client.put(f"/v1/stream/{name}", data=b'["x"]', headers=sent) as response:
        return response.status


async def post(hub: Running, name: str) -> int:
    sent = {"Content-Type": "application/json"}
    async with hub.client.post(f"/v1/stream/{name}", data=b'["y"]', headers=sent) as response:
        return response.status


async def get(hub: Running, name: str) -> int:
    async with hub.client.get(f"/v1/stream/{name}") as response:
        return response.status


async def delete(hub: Running, name: str) -> int:
    async with hub.client.delete(f"/v1/stream/{name}") as response:
        return response.status


async def fork(hub: Running, name: str) -> int:
    return await put(hub, f"{name}-fork", **{"Stream-Forked-From": f"/v1/stream/{name}"})


PAIRS: Final = list(combinations_with_replacement((put, post, get, delete, fork), 2))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(one.__name__ for one in pair))
async def test_any_two_requests_at_once_on_a_stream_that_is_not_in_memory(
    start_hub: StartHub, tmp_path: Path, pair: tuple[Callable[[Running, str], Awaitable[int]], ...]
) -> None:
    rounds = 12
    store = {"url": f"sqlite:{tmp_path / 'hub.db'}"}
    before = await start_hub(store=store)
    for number in range(rounds):
        assert await put(before, f"s{number}") == 201
    await before.client.close()
    hub = await start_hub(store=store)
    for number in range(rounds):
        statuses = await asyncio.gather(
            *(request(hub, f"s{number}") for request in pair for _ in range(6))
        )
        assert all(status < 500 for status in statuses), statuses
        if put not in pair and 204 in statuses and delete in pair and fork not in pair:
            assert await get(hub, f"s{number}") == 404, "a deletion was acknowledged"
    assert await put(hub, "after") == 201
    assert await get(hub, "after") == 200
    async with hub.client.get("/readyz") as response:
        assert (response.status, await response.text()) == (200, "ok\n")


async def test_readers_of_an_expired_stream_that_is_not_in_memory(
    start_hub: StartHub, tmp_path: Path
) -> None:
    store = {"url": f"sqlite:{tmp_path / 'hub.db'}"}
    before = await start_hub(store=store)
    for number in range(10):
        assert await put(before, f"s{number}", **{"Stream-TTL": "1"}) == 201
    await before.client.close()
    await asyncio.sleep(1.1)
    hub = await start_hub(store=store)
    for number in range(10):
        statuses = await asyncio.gather(*(get(hub, f"s{number}") for _ in range(10)))
        assert set(statuses) == {404}
    assert await put(hub, "after") == 201


# The store by itself


async def test_a_load_includes_what_was_noted_and_committed_while_it_read(tmp_path: Path) -> None:
    store = Gated(tmp_path / "hub.db")
    await store.start()
    store.note(Created("s", StreamSettings(), ((0, 0),)))
    await store.synced()
    store.gated = True
    loading = asyncio.create_task(store.load("s"))
    await asyncio.sleep(0)
    store.gates[0].set_result(None)
    while len(store.gates) < 2:  # noqa: ASYNC110 - a thread is waited for
        await asyncio.sleep(0.001)
    store.note(Removed("s"))
    await store.synced()
    store.gated = False
    store.gates[1].set_result(None)
    assert await loading is None
    await store.stop()


async def test_a_source_is_loaded_with_the_forks_that_were_just_made(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    store.note(Created("source", StreamSettings(), ((0, 0),)))
    store.note(Created("fork", StreamSettings(fork=Fork("source", 0)), ((0, 0),)))
    saved = await store.load("source")
    assert saved is not None
    assert saved.forks == 1
    store.note(Removed("fork", "source"))
    assert (await store.load("source") or saved).forks == 0
    await store.stop()


async def test_what_can_never_be_written_costs_its_stream_alone(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    life = store.life
    for name in ("bad", "good"):
        store.note(Created(name, StreamSettings(), ((life, 0),)))
    await store.synced()
    store.note(Appended("bad", Record(0, b"1", None)))
    store.note(Appended("good", Record(0, b"1", None)))
    store.note(Appended("bad", Record(0, b"2", None)))
    store.note(Created("child", StreamSettings(fork=Fork("bad", 1)), ((life, 0),)))
    shown: list[str] = []
    store.after(lambda: shown.append("bad"), "bad")
    store.after(lambda: shown.append("good"), "good")
    results = await asyncio.gather(
        store.synced("good"), store.synced("bad"), store.synced("child"), return_exceptions=True
    )
    assert [getattr(found, "code", None) for found in results] == [
        None, "store_rejected", "store_rejected",
    ]  # fmt: skip
    assert shown == ["good"]
    assert set(store.rejected) == {"bad", "child"}
    store.note(Appended("bad", Record(1, b"3", None)))
    with pytest.raises(StoreError, match="was lost"):
        await store.synced("bad")
    store.readmit("bad")
    store.readmit("child")
    assert store.life > life, "readers may have seen what is not there"
    saved = await store.load("bad")
    assert saved is not None
    assert (saved.tail, await store.load("child")) == (0, None)
    store.note(Appended("bad", Record(0, b"4", None)))
    await store.synced("bad")
    assert store.trouble is None
    await store.stop()


async def test_a_stream_written_wrongly_is_answered_reported_and_loaded_again(
    start_hub: StartHub, tmp_path: Path
) -> None:
    path = tmp_path / "hub.db"
    hub = await start_hub(store={"url": f"sqlite:{path}"})
    assert [await put(hub, name) for name in ("good", "bad")] == [201, 201]
    # Somebody meddles with the file: the hub's next record there has no place.
    database = apsw.Connection(str(path))
    database.set_busy_timeout(5000)
    database.execute(
        "INSERT INTO records SELECT id, 1, CAST('\"meddled\"' AS BLOB) FROM streams"
        " WHERE name = 'bad'"
    )
    database.close()
    statuses = tuple(await asyncio.gather(post(hub, "good"), post(hub, "bad"), post(hub, "good")))
    assert statuses == (204, 500, 204)
    async with hub.client.get("/readyz") as response:
        assert response.status == 200
        assert "1 streams lost a change" in await response.text()
    async with hub.client.get("/metrics") as response:
        assert "streamhub_rejections_total 1.0" in await response.text()
    async with hub.client.get("/v1/stream/bad") as response:
        assert await response.json() == ["x", "meddled"]
    assert await post(hub, "bad") == 204
