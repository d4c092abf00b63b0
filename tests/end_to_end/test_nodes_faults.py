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
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.support.followed_hubs import (
    PATIENT,
    Follower,
    World,
    append,
    ended,
    following,
    more_is_told,
    spoken,
)
from tests.support.hub_processes import ENDS, JSON, LONG, STORY, TEXT, HubProcess, Hubs
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.switch import Switch

APPENDS = 30


@pytest.fixture
async def world(hubs: Hubs) -> AsyncIterator[World]:
    async with following(await hubs.start("one", "two", **PATIENT)) as made:
        yield made


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


async def test_a_full_server_refuses_writes_and_its_replies_wait(
    world: World, redis_server: RedisServer
) -> None:
    one, two = world.hubs
    await one.ask("PUT", "/v1/stream/log", headers=TEXT, data="0;", status=201)
    await one.ask("PUT", "/v1/stream/old", headers=TEXT, status=201)
    begun = await one.ask("POST", "/v1/generations", json=STORY, status=201)
    await world.until(lambda follower: follower.kinds().count("delta") >= 3)
    await redis_server.ask("CONFIG", "SET", "maxmemory", "1")
    for hub in (one, two):
        for method, path, given in (
            ("POST", "/v1/stream/log", {"headers": TEXT, "data": "1;"}),
            ("PUT", f"/v1/stream/{hub.name}", {"headers": TEXT}),
            ("POST", "/v1/generations", {"json": {**STORY, "stream": "beside"}}),
        ):
            refused = await hub.ask(method, path, status=507, **given)
            assert refused["error"]["code"] == "store_full"
        assert await hub.ask("GET", "/v1/stream/log", status=200) == b"0;"
        found = await hub.ask("GET", f"/v1/generations/{begun['id']}", status=200)
        assert found["state"] == "streaming"
    await two.ask("DELETE", "/v1/stream/old", status=204)
    await redis_server.ask("CONFIG", "SET", "maxmemory", "0")
    await world.until(lambda follower: follower.kinds()[-1:] == ["finished"])
    await world.same()
    for hub in (one, two):
        await hub.ask("POST", "/v1/stream/log", headers=TEXT, data="1;", status=204)
        await hub.ask("GET", "/v1/stream/old", status=404)
    assert await one.ask("GET", "/v1/stream/log", status=200) == b"0;1;1;"


# What happens to a hub


async def test_a_hub_that_stood_still_writes_nothing_after_the_end_of_its_reply(
    hubs: Hubs,
) -> None:
    async with following(await hubs.start("one", "two")) as world:
        one, two = world.hubs
        begun = await one.ask("POST", "/v1/generations", json=LONG, status=201)
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
            await one.ask("POST", "/v1/generations", json=LONG, status=201)
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
