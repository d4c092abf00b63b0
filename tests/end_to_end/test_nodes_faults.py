"""What goes wrong around two hubs on one Redis, with the wrong thing really done.

The hubs and the server are processes of their own. At each hub somebody follows what the hubs
write meanwhile. Whatever happens, nobody is ever shown two contents for one position, all have the
same in the end, and an append that is sent until it is acknowledged is there once.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.support.hub_processes import ENDS, JSON, STORY, TEXT, HubProcess, Hubs
from tests.support.patience import PATIENCE, patient
from tests.support.redis_server import RedisServer
from tests.support.switch import Switch

LOST = (aiohttp.ClientError, OSError, TimeoutError)
APPENDS = 30

PATIENT = {
    "STREAMHUB_NODE__LEASE_SECONDS": str(patient(6.0)),
    "STREAMHUB_NODE__SETTLE_SECONDS": str(patient(2.0)),
}
"""A busy machine may leave a hub too little time to renew its lease, or to put back records."""


class Follower:
    """Follows a stream of events at one hub, and comes back with its position."""

    def __init__(self, hub: HubProcess, stream: str, seen: dict[tuple[int, int], Any]) -> None:
        self.hub = hub
        self._path = f"/v1/stream/{stream}"
        self._seen = seen
        self._position = "-1"
        self.held: list[dict[str, Any]] = []
        self.resets = 0

    async def run(self) -> None:
        while True:
            try:
                await self._read()
            except LOST:
                await asyncio.sleep(0.05)

    async def _read(self) -> None:
        live = {} if self._position == "-1" else {"live": "long-poll"}
        params = {"offset": self._position, **live}
        async with self.hub.client.get(self._path, params=params) as response:
            body = await response.read()
        if response.status == 410:
            self.held, self._position = [], "-1"
            self.resets += 1
            return
        if response.status not in (200, 204):
            assert response.status in (404, 500, 503), body
            await asyncio.sleep(0.05)
            return
        self._position = response.headers["Stream-Next-Offset"]
        epoch, end = map(int, self._position.split("_"))
        events = orjson.loads(body) if body else []
        for offset, event in enumerate(events, end - len(events)):
            assert offset == len(self.held), "without a hole"
            assert self._seen.setdefault((epoch, offset), event) == event, "never two contents"
            self.held.append(event)

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.held]


class World:
    """Two hubs, and what is followed at both."""

    def __init__(self, hubs: list[HubProcess]) -> None:
        self.hubs = hubs
        self._seen: dict[tuple[int, int], Any] = {}
        self.followers = [Follower(hub, "chat", self._seen) for hub in hubs]
        self._tasks = [asyncio.create_task(follower.run()) for follower in self.followers]

    async def until(self, holds: Callable[[Follower], bool]) -> None:
        """Wait until something holds of all followers."""
        async with asyncio.timeout(PATIENCE):
            while not all(map(holds, self.followers)):
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.02)

    async def same(self) -> list[dict[str, Any]]:
        """What all followers have, and each hub tells whoever comes now."""
        held = self.followers[0].held
        await self.until(lambda follower: len(follower.held) >= len(held))
        for follower in self.followers:
            assert follower.held == held
            assert await follower.hub.events("chat") == held
        return held

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def following(hubs: list[HubProcess]) -> AsyncIterator[World]:
    made = World(hubs)
    try:
        yield made
    finally:
        await made.stop()


@pytest.fixture
async def world(hubs: Hubs) -> AsyncIterator[World]:
    async with following(await hubs.start("one", "two", **PATIENT)) as made:
        yield made


async def append(hubs: list[HubProcess], stream: str, count: int) -> None:
    """Numbers, each to the next hub, until it is acknowledged by one."""
    for number in range(count):
        stamp = {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": str(number)}
        for attempt in range(10_000):
            hub = hubs[(number + attempt) % len(hubs)]
            with suppress(*LOST):
                async with hub.client.post(
                    f"/v1/stream/{stream}", headers={**TEXT, **stamp}, data=f"{number};"
                ) as response:
                    if response.status in (200, 204):
                        break
                    assert response.status in (500, 503, 507), await response.read()
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.01)


# What happens to the server


def faults(server: RedisServer) -> dict[str, Callable[[], Awaitable[object]]]:
    async def away() -> None:
        await server.kill()
        await asyncio.sleep(0.5)
        await server.start()

    async def cut() -> None:
        await server.kill()
        server.cut(random.Random(1))  # noqa: S311 - not a secret
        await server.start()
        await server.restart()

    async def frozen() -> None:
        server.freeze()
        await asyncio.sleep(1.0)
        server.thaw()

    async def promoted() -> None:
        await server.ask("REPLICAOF", "127.0.0.1", "1")
        await server.ask("REPLICAOF", "NO", "ONE")

    async def full() -> None:
        await server.ask("CONFIG", "SET", "maxmemory", "1")
        await asyncio.sleep(0.5)
        await server.ask("CONFIG", "SET", "maxmemory", "0")

    return {
        "away": away,
        "cut": cut,
        "emptied": server.restart_empty,
        "frozen": frozen,
        "promoted": promoted,
        "full": full,
        "keys flushed": partial(server.ask, "FLUSHALL"),
        "scripts flushed": partial(server.ask, "SCRIPT", "FLUSH"),
        "channels killed": partial(server.ask, "CLIENT", "KILL", "TYPE", "pubsub"),
        "commands killed": partial(server.ask, "CLIENT", "KILL", "TYPE", "normal"),
    }


@pytest.mark.parametrize(
    "several",
    [
        ["frozen", "scripts flushed", "channels killed", "full", "commands killed"],
        ["away", "keys flushed"],
        ["promoted", "emptied"],
        ["cut"],
    ],
    ids=", ".join,
)
async def test_a_reply_goes_on_and_no_append_is_lost_or_doubled(
    world: World, redis_server: RedisServer, several: list[str]
) -> None:
    one, two = world.hubs
    await one.ask("PUT", "/v1/stream/log", headers=TEXT, status=201)
    begun = await one.ask("POST", "/v1/generations", json=STORY, status=201)
    await two.ask("POST", "/v1/generations", json={**STORY, "stream": "beside"}, status=201)
    appending = asyncio.create_task(append(world.hubs, "log", APPENDS))
    for fault in several:
        await world.until(more_is_told(world))
        await faults(redis_server)[fault]()
    async with asyncio.timeout(PATIENCE):
        await appending
    await world.until(lambda follower: follower.kinds()[-1:] == ["finished"])
    held = await world.same()
    assert [event["type"] for event in held if event["type"] in ENDS] == ["finished"]
    assert {event["generation"] for event in held[1:]} == {begun["id"]}
    for hub in world.hubs:
        found = await hub.ask("GET", f"/v1/generations/{begun['id']}", status=200)
        assert found["state"] == "finished"
        log = await hub.ask("GET", "/v1/stream/log", status=200)
        assert log.decode() == "".join(f"{number};" for number in range(APPENDS))
    # The same prompt has the same answer: nothing is missing in the middle of either.
    assert spoken(held) == spoken(await ended(one, "beside"))


def more_is_told(world: World) -> Callable[[Follower], bool]:
    """Whether a follower was told more than any was before this call, or the reply has ended."""
    before = max(len(follower.held) for follower in world.followers)

    def holds(follower: Follower) -> bool:
        return len(follower.held) > before + 3 or follower.kinds()[-1:] == ["finished"]

    return holds


async def ended(hub: HubProcess, stream: str) -> list[dict[str, Any]]:
    """All events of a stream, once its reply has ended."""
    async with asyncio.timeout(PATIENCE):
        while (events := await hub.events(stream))[-1]["type"] not in ENDS:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return events


def spoken(events: list[dict[str, Any]]) -> str:
    return "".join(event.get("text", "") for event in events if event["type"] == "delta")


# What happens to a hub


async def test_a_hub_that_stood_still_writes_nothing_after_the_end_of_its_reply(
    hubs: Hubs,
) -> None:
    async with following(await hubs.start("one", "two")) as world:
        one, two = world.hubs
        begun = await one.ask("POST", "/v1/generations", json=STORY, status=201)
        await world.until(lambda follower: follower.kinds().count("delta") >= 3)
        one.send(signal.SIGSTOP)
        assert (await ended(two, "chat"))[-1]["type"] == "interrupted"
        one.send(signal.SIGCONT)
        await world.until(lambda follower: follower.kinds()[-1:] == ["interrupted"])
        short = {"stream": "chat", "prompt": "echo Hello"}
        await one.ask("POST", "/v1/generations", json=short, status=201)
        await world.until(lambda follower: follower.kinds()[-1:] == ["finished"])
        held = await world.same()
        end = [event["type"] for event in held].index("interrupted")
        assert {event.get("generation") for event in held[1 : end + 1]} == {begun["id"]}
        assert begun["id"] not in {event.get("generation") for event in held[end + 1 :]}


async def test_a_hub_without_the_server_is_read_and_its_reply_is_ended_by_the_other(
    hubs: Hubs, redis_server: RedisServer
) -> None:
    async with Switch(redis_server.port) as switch:
        (one,) = await hubs.start("one", STREAMHUB_STORE__URL=f"redis://127.0.0.1:{switch.port}")
        async with following([one, *await hubs.start("two")]) as world:
            await one.ask("POST", "/v1/generations", json=STORY, status=201)
            await world.until(lambda follower: follower.kinds().count("delta") >= 3)
            await switch.lead(None)
            await one.until_ready(503)
            assert len(await one.events("chat")) >= 5, "what it has is shown"
            message = {"type": "message", "role": "user", "text": "Hello"}
            refused = await one.ask("POST", "/v1/stream/chat", json=message, status=503)
            assert refused["error"]["code"] == "store_unavailable"
            assert (await ended(world.hubs[1], "chat"))[-1]["type"] == "interrupted"
            await switch.lead(redis_server.port)
            await one.until_ready()
            await world.until(lambda follower: follower.kinds()[-1:] == ["interrupted"])
            held = await world.same()
            assert [event["type"] for event in held if event["type"] in ENDS] == ["interrupted"]


async def test_what_a_hub_wrote_to_the_old_primary_is_unwritten_and_told(
    hubs: Hubs, redis_server: RedisServer, tmp_path: Path
) -> None:
    """A replica is promoted, and one of the hubs does not hear of it for a while."""
    async with AsyncExitStack() as stack:
        promoted = RedisServer(tmp_path / "replica")
        stack.push_async_callback(promoted.stop)
        await promoted.start()
        await promoted.ask("REPLICAOF", "127.0.0.1", str(redis_server.port))
        ways = [await stack.enter_async_context(Switch(redis_server.port)) for _ in range(2)]
        started = [
            *await hubs.start("one", STREAMHUB_STORE__URL=f"redis://127.0.0.1:{ways[0].port}"),
            *await hubs.start("two", STREAMHUB_STORE__URL=f"redis://127.0.0.1:{ways[1].port}"),
        ]
        await started[0].ask("PUT", "/v1/stream/chat", headers=JSON, status=201)
        world = await stack.enter_async_context(following(started))
        await say(started[0], "before")
        await world.until(lambda follower: len(follower.held) == 1)
        assert await redis_server.ask("WAIT", "1", str(round(PATIENCE * 1000))) == b":1\r\n"

        await promoted.ask("REPLICAOF", "NO", "ONE")
        await ways[1].lead(promoted.port)
        await say(started[0], "lost")
        await say(started[1], "kept")
        await world.until(lambda follower: len(follower.held) == 2)
        assert [texts(follower)[1] for follower in world.followers] == ["lost", "kept"]
        await redis_server.ask("REPLICAOF", "127.0.0.1", str(promoted.port))
        await ways[0].lead(promoted.port)
        await world.until(lambda follower: texts(follower) == ["before", "kept"])
        await say(started[0], "after")
        await world.until(lambda follower: texts(follower) == ["before", "kept", "after"])
        await world.same()
        assert [follower.resets for follower in world.followers] == [1, 0]


async def say(hub: HubProcess, text: str) -> None:
    """Write a message over a hub as soon as it can."""
    event = {"type": "message", "role": "user", "text": text}
    await hub.until_ready()
    async with asyncio.timeout(PATIENCE):
        while True:
            async with hub.client.post("/v1/stream/chat", headers=JSON, json=event) as response:
                if response.status == 204:
                    return
                assert response.status == 503, await response.read()
            await asyncio.sleep(0.05)


def texts(follower: Follower) -> list[str]:
    return [event["text"] for event in follower.held]
