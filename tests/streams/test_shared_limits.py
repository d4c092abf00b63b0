"""Limits hold for all hubs of an engine together, and nobody waits to be counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest

from hub.domain.at_once import AtOnce
from hub.domain.errors import LimitExceeded, RateLimited
from hub.domain.rate_windows import RateWindows
from hub.stores.shared import SharedEngine
from hub.streams import shared_limits
from hub.streams.shared_limits import SharedLimits
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.redis_server import KINDS
from tests.support.shared_nodes import Nodes, back
from tests.support.shared_servers import SharedServer

MOST = 4


@pytest.fixture(params=[*KINDS, "cluster", "coordinator"])
def server_kind(request: pytest.FixtureRequest) -> str:
    """What hubs tell each other has one order in a cluster, too."""
    return str(request.param)


class Hub:
    """What a hub counts, and tells the others."""

    def __init__(self, limits: SharedLimits) -> None:
        self.limits = limits
        self.mirrors = limits._mirrors
        self.open = AtOnce(MOST, lambda: RateLimited("too many"))
        self.requests = RateWindows(MOST)
        limits.share("open", self.open)
        limits.share_requests(self.requests)
        self.work: asyncio.Task[None] | None = None

    async def run(self) -> None:
        await self.limits.open()
        self.work = asyncio.create_task(self.limits.run())

    async def stop(self) -> None:
        """Tell nothing more."""
        if self.work is not None:
            self.work.cancel()
            await asyncio.gather(self.work, return_exceptions=True)
            self.work = None

    async def take_one(self) -> bool:
        """Take one more, if all hubs agree to that."""
        try:
            self.open.take("ann")
        except LimitExceeded:
            return False
        try:
            await self.limits.agree(
                partial(self.open.confirm, "ann"), partial(self.open.give, "ann")
            )
        except LimitExceeded:
            return False
        return True

    def hits(self) -> int:
        """How many requests of Ann's are let in until one is refused."""
        number = 0
        while not self.requests.hit("ann", 5.0):
            number += 1
        return number


Start = Callable[[], Awaitable[Hub]]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a second is short for others to agree."""
    monkeypatch.setattr(shared_limits, "AGREE_SECONDS", PATIENCE)


@pytest.fixture
async def start(shared_server: SharedServer) -> AsyncIterator[Start]:
    nodes, hubs = Nodes(shared_server), list[Hub]()

    async def started() -> Hub:
        limits = SharedLimits(await nodes.start(), f"n{len(hubs)}", clock=lambda: 5.0)
        hubs.append(Hub(limits))
        await hubs[-1].run()
        return hubs[-1]

    yield started
    for hub in hubs:
        await hub.stop()
    await nodes.stop()


async def test_requests_of_all_hubs_count(start: Start) -> None:
    one, two, three = await start(), await start(), await start()
    assert [hub.requests.hit("ann", 5.0) for hub in (one, one, two)] == [0, 0, 0]
    await eventually(lambda: three.requests._counts.get("ann", (0, 0))[1] == 3)
    assert three.hits() == 1
    assert three.requests.hit("bob", 5.0) == 0


async def test_what_is_had_at_a_time_counts_everywhere(start: Start) -> None:
    one, two = await start(), await start()
    for _ in range(MOST):
        one.open.take("ann")
    await eventually(lambda: two.open.elsewhere.of("ann") == MOST)
    with pytest.raises(RateLimited):
        two.open.take("ann")
    two.open.take("bob")
    one.open.give("ann")
    await eventually(lambda: two.open.elsewhere.of("ann") == MOST - 1)
    two.open.take("ann")


async def test_who_comes_later_is_told_what_there_is(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_limits, "REPEAT_SECONDS", 2 * PATIENCE)  # because it asks
    one = await start()
    names = [f"user{number}" for number in range(2 * shared_limits.NAMES + 1)]
    for name in ["ann", "ann", *names]:
        one.open.take(name)
    await eventually(lambda: not one.limits._untold["open"]._numbers)
    two = await start()
    await eventually(lambda: len(two.open.elsewhere._said) == len(names) + 1)
    assert two.open.elsewhere.of("ann") == 2


async def test_hubs_that_take_at_once_have_as_many_as_they_may_and_no_more(start: Start) -> None:
    hubs = [await start() for _ in range(3)]
    for _ in range(5):
        # Of one hub after the other: each leaves the rest to whoever was first.
        taken = await asyncio.gather(*(hub.take_one() for hub in hubs for _ in range(MOST)))
        assert sum(taken) == MOST == sum(hub.open.of("ann") for hub in hubs)
        for hub in hubs:
            for _ in range(hub.open.of("ann")):
                hub.open.give("ann")
        for hub in hubs:
            await eventually(lambda hub=hub: hub.open.elsewhere.of("ann") == 0)  # type: ignore[misc]


async def test_of_two_who_take_the_last_at_once_one_has_it(start: Start) -> None:
    one, two = await start(), await start()
    for _ in range(MOST - 1):
        assert await one.take_one()
    await eventually(lambda: two.open.elsewhere.of("ann") == MOST - 1)
    for _ in range(20):
        taken = await asyncio.gather(one.take_one(), two.take_one())
        assert sorted(taken) == [False, True]
        hub = one if taken[0] else two
        hub.open.give("ann")
        await hub.limits.agree(lambda: None, lambda: None)
        await eventually(
            lambda: (one.open.elsewhere.of("ann"), two.open.elsewhere.of("ann")) == (0, MOST - 1)
        )


async def test_who_gives_up_before_all_agree_has_taken_nothing(start: Start) -> None:
    one, two = await start(), await start()
    for _ in range(MOST):
        one.open.take("ann")
    await eventually(lambda: two.open.elsewhere.of("ann") == MOST)
    for _ in range(3):
        two.open.elsewhere.hear("n0", {"ann": 0}, 10.0)
        taking = asyncio.create_task(two.take_one())
        await asyncio.sleep(0)
        two.open.elsewhere.hear("n0", {"ann": MOST}, 10.0)
        if two.limits._agreeing:
            (waiting,) = two.limits._agreeing.values()
            await waiting.heard  # it is refused, and has not gone on yet
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        assert two.open.of("ann") == 0
    two.open.elsewhere.hear("n0", {"ann": 0}, 10.0)
    taking = asyncio.create_task(two.take_one())
    await asyncio.sleep(0)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    assert two.open.of("ann") == 0


async def test_what_a_killed_hub_had_returns_after_a_time(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_limits, "REPEAT_SECONDS", 0.02)
    one, two = await start(), await start()
    now = 5.0
    two.limits._clock = lambda: now
    for _ in range(MOST):
        one.open.take("ann")
    await eventually(lambda: two.open.elsewhere.of("ann") == MOST)
    now += shared_limits.HEARD_SECONDS - 1  # it goes on saying so
    await eventually(lambda: min(till for _, till in two.open.elsewhere._said.values()) > now)
    await one.stop()
    assert two.open.elsewhere.of("ann") == MOST
    now += shared_limits.HEARD_SECONDS + 1
    await eventually(lambda: two.open.elsewhere.of("ann") == 0)


async def test_without_an_engine_each_hub_counts_for_itself(
    start: Start, shared_server: SharedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_limits, "REPEAT_SECONDS", 0.02)
    one, two = await start(), await start()
    one.open.take("ann")
    await eventually(lambda: two.open.elsewhere.of("ann") == 1)
    await shared_server.kill()
    await eventually(lambda: one.mirrors.trouble and two.mirrors.trouble)
    async with asyncio.timeout(PATIENCE):
        assert await one.take_one()  # and does not wait for those who cannot hear it
    assert one.hits() == MOST
    two.limits._clock = lambda: 5.0 + shared_limits.HEARD_SECONDS + 1
    await eventually(lambda: two.open.elsewhere.of("ann") == 0)
    await shared_server.start()
    await back(one.mirrors)
    await back(two.mirrors)
    await eventually(lambda: two.open.elsewhere.of("ann") == 2)


async def test_an_engine_that_says_nothing_is_not_waited_for_long(
    start: Start, shared_server: SharedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_limits, "AGREE_SECONDS", 0.05)
    one = await start()
    shared_server.freeze()
    try:
        async with asyncio.timeout(PATIENCE):
            assert await one.take_one()
    finally:
        shared_server.thaw()


async def test_no_number_is_followed_by_an_older_one(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one message is on its way, what was taken meanwhile waits for the next."""
    one, two = await start(), await start()
    say, gate, said = one.mirrors.engine.say, asyncio.Event(), list[bytes]()

    async def later(topic: str, message: bytes, *, keep: int = 0) -> None:
        said.append(message)
        if len(said) == 1:
            await gate.wait()
        await say(topic, message, keep=keep)

    monkeypatch.setattr(one.mirrors.engine, "say", later)
    one.open.take("ann")
    await eventually(lambda: said)
    taking = asyncio.create_task(one.take_one())
    await asyncio.sleep(0)
    gate.set()
    assert await taking
    assert two.open.elsewhere.of("ann") <= 2
    await eventually(lambda: two.open.elsewhere.of("ann") == 2)


async def test_what_another_release_counts_is_left_to_it(start: Start) -> None:
    one, two = await start(), await start()
    engine: SharedEngine = one.mirrors.engine
    for message in (
        b'{"node":"n9","numbers":{"pictures":{"ann":9}}}',
        b'{"node":"n9","more":1}',
        b'{"node":"n9","numbers":{"open":{"ann":1}}}',
    ):
        await engine.say(shared_limits.TOPIC, message)
    await eventually(lambda: two.open.elsewhere.of("ann") == 1)
    with suppress(LimitExceeded):
        two.open.take("ann")
    assert two.open.of("ann") == 1
