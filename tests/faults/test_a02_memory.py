"""Memory is bounded (P7): what is kept is lean, and the limits count what is really held.

The hub runs in a process of its own, and its resident set is read from ``/proc``. Bounds are
derived from the promise, three times a record's body and 200 bytes, so no time is measured.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from bench.memory import KINDS, held
from hub.config.schema import Config
from hub.domain.conversation import Conversation
from hub.domain.events import Delta, Message, ToolCall
from hub.domain.memory_budget import parsed_size
from hub.domain.records import Record
from hub.domain.stream_settings import StreamSettings
from hub.stores import Saved
from hub.streams.residency import LoadedStream
from hub.streams.shared_budget import SharedBudget
from hub.streams.stream import Stream
from tests.conftest import StartHub
from tests.support.fake_stores import FakeStore
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.processes import environ

MEGABYTE = 1_000_000
BYTES = StreamSettings("application/octet-stream")
AT_ONCE = 16


class Watched:
    """A hub in a process of its own, asked over HTTP."""

    def __init__(self, pid: int, client: aiohttp.ClientSession) -> None:
        self._pid = pid
        self.client = client

    @property
    def resident(self) -> int:
        """Bytes of it that are in memory."""
        pages = Path(f"/proc/{self._pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    async def metric(self, name: str) -> float:
        async with self.client.get("/metrics") as answer:
            found = re.search(rf"^streamhub_{name} (\S+)$", await answer.text(), re.MULTILINE)
        assert found is not None
        return float(found[1])

    async def each(self, numbers: Iterable[int], ask: Callable[[int], Awaitable[None]]) -> None:
        """Ask once for each number, some at a time."""
        waiting = iter(numbers)

        async def asker() -> None:
            for number in waiting:
                await ask(number)

        await asyncio.gather(*(asker() for _ in range(AT_ONCE)))

    async def generate(self, number: int) -> None:
        """A short reply, to its end."""
        asked = {"prompt": f"echo {'word ' * 20}{number}", "key": f"key-{number}"}
        name = None
        while name is None:
            async with self.client.post("/v1/generations", json=asked) as answer:
                # With few streams, those that leave memory have to be committed first.
                assert answer.status in (201, 429), await answer.text()
                name = (await answer.json()).get("id")
        async with self.client.get(f"/v1/live/{name}?from=start", headers=NDJSON) as live:
            assert b'"finished"' in await live.read()

    async def post(self, stream: str, body: bytes) -> int:
        path = f"/v1/stream/{stream}"
        async with self.client.post(path, data=body, headers=JSON) as answer:
            return answer.status


JSON = {"Content-Type": "application/json"}
NDJSON = {"Accept": "application/x-ndjson"}


@asynccontextmanager
async def watched(url: str, **tables: object) -> AsyncIterator[Watched]:
    demo = {"dialect": "demo", "options": {"pace": 1_000_000}}
    held = {"store": {"url": url}, "upstreams": {"demo": demo}, **tables}
    config = Config.model_validate(held)
    serving = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVE, config.model_dump_json()),
        stdout=asyncio.subprocess.PIPE,
        env=environ(),
    )
    try:
        assert serving.stdout is not None
        async with asyncio.timeout(PATIENCE):
            at = (await serving.stdout.readline()).decode().strip()
        async with aiohttp.ClientSession(at) as client:
            yield Watched(serving.pid, client)
    finally:
        serving.send_signal(signal.SIGKILL)
        await serving.wait()


SERVE = """
import asyncio, sys
from hub.server.serve import serve
from hub.domain.memory_budget import parsed_size
from hub.config import Config
from tests.conftest import StartHub
from tests.support.loopback_hub import eventually
config = Config.model_validate_json(sys.argv[1])
config = config.model_copy(update={"server": config.server.model_copy(update={"port": 0})})
asyncio.run(serve(config, announce=lambda at: print(at, flush=True)))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_takes_three_times_its_body_and_200_bytes_and_is_counted(kind: str) -> None:
    found = held(kind, 5000)
    assert found.memory <= found.bar
    # Some of it was there before, or was used in between and not given back.
    assert found.memory * 0.6 <= found.counted <= found.memory * 1.5 + 100


async def test_short_generations_take_what_their_records_may(tmp_path: Path) -> None:
    """Each was 365 KB for some eighty records, and stayed."""
    async with watched(f"sqlite:{tmp_path}/hub.db") as hub:
        await hub.each(range(200), hub.generate)
        before, records = hub.resident, await hub.metric("records_total")
        await hub.each(range(200, 1200), hub.generate)
        grown = hub.resident - before
        records = await hub.metric("records_total") - records
    # Bodies have some 80 bytes; what is remembered of a generation may take 4 KB.
    assert records > 1000 * 20
    assert grown <= records * (3 * 80 + 200) + 1000 * 4096


async def test_what_has_ended_leaves_no_trace_beyond_the_limits(tmp_path: Path) -> None:
    """Generations, their streams, keys and clients: with small limits the slope is none."""
    limits = {"streams": 50, "idempotency_keys": 50}
    async with watched(f"sqlite:{tmp_path}/hub.db", limits=limits) as hub:
        await hub.each(range(400), hub.generate)
        before = hub.resident
        await hub.each(range(400, 1200), hub.generate)
        # SQLite's two caches, of 2 MB each, are still being filled. One stream that stays of each
        # generation would be some 13 MB.
        assert hub.resident - before <= 6 * MEGABYTE


@pytest.mark.parametrize(
    ("element", "each"),
    [(b"1", 2000), (b"{}", 2000), (b'{"a":[%s]}' % b",".join([b"[]"] * 50), 300)],
    ids=["1", "{}", "lists"],
)
async def test_limits_on_memory_hold_for_tiny_and_for_branching_records(
    element: bytes, each: int
) -> None:
    """Two megabytes of ``1,`` became 150, of which the limits saw one."""
    limit = 4 * MEGABYTE
    tables = {
        "limits": {"stream_bytes_total": limit},
        "streams": {"max_bytes": limit, "max_records": 10_000_000},
    }
    async with watched("memory:", **tables) as hub:
        body = b"[%s]" % b",".join([element] * each)
        async with hub.client.put("/v1/stream/s", headers=JSON) as made:
            assert made.status == 201
        assert await hub.post("s", body) == 204
        before = hub.resident
        for _ in range(40):
            assert await hub.post("s", body) == 204
        assert limit / 2 <= await hub.metric("stream_bytes") <= limit
        assert hub.resident - before <= limit * 1.25 + 4 * MEGABYTE


SHAPES = {
    "numbers": b"[%s]" % b",".join([b"%d" % number for number in range(1000, 60_000)]),
    "lists": b"[%s]" % b",".join([b"[]"] * 100_000),
    "nested": b"[%s]" % b",".join([b"[" * 100 + b"]" * 100] * 1500),
    "objects": b"[%s]" % b",".join([b'{"a":1}'] * 40_000),
    "fields": b"{%s}" % b",".join([b'"%x":0' % number for number in range(40_000)]),
    "texts": b"[%s]" % b",".join([b'"ab"'] * 60_000),
    "wide": b'["%s"]' % ("x" * 300_000 + "\U0001f600").encode(),
    "escaped": b'["%s\\ud83d\\ude00"]' % (b"x" * 300_000),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_json_needs_when_it_is_decoded_is_not_underestimated(shape: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", DECODE],
        input=SHAPES[shape],
        stdout=subprocess.PIPE,
        check=True,
        timeout=PATIENCE,
    )
    assert int(ran.stdout) <= parsed_size(SHAPES[shape]) <= 100 * len(SHAPES[shape])


DECODE = """
import sys, orjson
from pathlib import Path
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
body = sys.stdin.buffer.read()
orjson.loads(b"[1]")
before = resident()
held = orjson.loads(body)
print(resident() - before)
"""


async def test_json_that_grows_when_it_is_decoded_is_counted_before_it_is() -> None:
    """What one megabyte of brackets decodes to is refused where there is no room for it."""
    async with watched("memory:", limits={"bodies_bytes": 8 * MEGABYTE}) as hub:
        bomb = b'{"messages":[{"role":"user","content":[%s]}]}' % b",".join([b"[]"] * 200_000)
        command = b'{"type":"append","stream":"s","event":%s}' % bomb
        before = hub.resident
        async with hub.client.post("/v1/generations", data=bomb, headers=JSON) as answer:
            assert answer.status == 429, await answer.text()
        async with hub.client.ws_connect("/v1/ws", protocols=["hub.v1"]) as ws:
            await ws.send_bytes(bomb)
            await ws.send_str(command.decode())
            told = [await ws.receive_json(timeout=PATIENCE) for _ in range(2)]
            assert [one["code"] for one in told] == ["bad_frame", "limit_exceeded"]
        assert hub.resident - before <= 8 * MEGABYTE
        await hub.generate(1)


async def test_a_prompt_counts_until_its_reply_has_ended(start_hub: StartHub) -> None:
    running = await start_hub(limits={"bodies_bytes": 1_500_000})
    hub = running.hub
    asked = {"messages": [{"role": "user", "content": "stall"}] * 1000}
    async with running.client.post("/v1/generations", json=asked) as answer:
        assert answer.status == 201
        name = (await answer.json())["id"]
    await eventually(lambda: 300_000 < hub.allowance.held < 600_000)
    async with running.client.post("/v1/generations", json=asked) as answer:
        assert answer.status == 429
    await hub.generations.cancel(name)
    assert hub.allowance.held == 0
    async with running.client.post("/v1/generations", json=asked) as answer:
        assert answer.status == 201


async def test_what_readers_share_for_a_moment_is_bounded_for_all_streams_together() -> None:
    """Each stream might keep 256 frames of 64 KB, and 64 reads."""
    budget = SharedBudget(600_000)
    records = [Record(at, b"x" * 1000, None) for at in range(400)]
    saved = Saved(BYTES, ((0, 0),), tail=400)
    streams = [Stream(name, saved, store=FakeStore(records), cache_budget=budget) for name in "ab"]
    for stream in streams:
        for offset in range(0, 400, 10):
            assert (await stream.fetch(offset, 10_000)).records
    shared = [reading.result() for stream in streams for reading in stream._reads.values()]
    assert 300_000 < sum(record.size for read in shared for record in read) <= 600_000
    for stream in streams:
        LoadedStream(stream).update(0.0)
    budget.reset()
    await streams[1].fetch(0, 10_000)
    assert len(streams[1]._reads) == 1


def test_a_conversation_knows_what_it_takes_on_all_its_branches() -> None:
    past = Conversation()
    past.take(Message("user", "Hello", extra={"id": "q1"}))
    empty = past.size
    for _ in range(1000):
        past.take(Delta("g", "word"))
        past.take(Delta("g", tool=ToolCall(0, "c", "f", "{}")))
    taken = past.size
    assert 1000 * (53 + 50) < taken - empty < 150_000
    past.take(Message("user", "Again", extra={"after": "q1"}))
    # What it went back from is not sent, but a prompt may come back to it, so it is counted still.
    assert [message["content"] for message in past.messages()] == ["Hello", "Again"]
    assert past.messages(past.find("g"))[-1]["content"] == "word" * 1000
    assert past.size > taken
