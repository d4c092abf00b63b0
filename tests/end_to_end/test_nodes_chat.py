"""A chat on three nodes, with readers of all kinds at each: it survives what operators fear.

Its node is killed in mid-answer, Redis is killed, nodes are restarted one after the other. No
reader misses anything, or is told anything twice, or is reset.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.rolling import Rolled, ask, roll
from tests.support.crowd import Crowd
from tests.support.followed_hubs import PATIENT
from tests.support.hub_processes import JSON, HubProcess, Hubs
from tests.support.reader import Reader
from tests.support.redis_server import RedisServer


@pytest.fixture
async def three(hubs: Hubs) -> list[HubProcess]:
    return await hubs.start("one", "two", "three", **PATIENT)


def has(kind: str, generation: str, count: int = 1) -> Callable[[Reader], bool]:
    """Whether a reader was told so many events of a type, of a generation."""

    def holds(reader: Reader) -> bool:
        told = [each for each in reader.events if each.get("generation") == generation]
        return [each["type"] for each in told].count(kind) >= count

    return holds


async def test_a_chat_survives_the_loss_of_its_node_and_of_redis(
    three: list[HubProcess], redis_server: RedisServer
) -> None:
    one, two, other = three
    await one.ask("PUT", "/v1/stream/chat", headers=JSON, status=201)
    async with Crowd(three, "chat", 9) as crowd:
        first = await ask([one], "/story", "first")
        await crowd.until(has("delta", first))
        await one.stop(signal.SIGKILL)
        await crowd.until(has("interrupted", first))
        second = await ask([two], "/story", "second")
        await crowd.until(has("delta", second))
        await redis_server.restart()
        await crowd.until(has("finished", second))
        third = await ask([other], "echo again", "third")
        await crowd.until(has("finished", third))
        events = await two.events("chat")
        assert await other.events("chat") == events
        crowd.check(events)
        ends = {first: "interrupted", second: "finished", third: "finished"}
        for generation, end in ends.items():
            assert [each["type"] for each in events if each.get("generation") == generation][
                -1
            ] == end
        moved = [member for member in crowd.members if len(member.returns) > 1]
        assert len(moved) == 3, "those of the node that was killed, and nobody else"


async def test_a_rolling_restart_is_not_noticed(tmp_path: Path, redis_server: RedisServer) -> None:
    rolled: Rolled = await roll(tmp_path, redis_server, readers=50)
    assert rolled.returns >= 2 * (50 // 3), "all of the nodes that were restarted came back"
