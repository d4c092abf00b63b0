"""A stream is followed across dropped connections: each event once, in order."""

from __future__ import annotations

import asyncio
import signal
from contextlib import aclosing
from typing import Any

import orjson
import pytest

from hub.client import Delta, Finished, Hub, HubError, Message, Other, Reset, Value
from hub.client.following import hear
from hub.domain.errors import PositionError, StreamNotFound
from tests.support.loopback_hub import Loopback, eventually, hub_on_loopback
from tests.support.patience import PATIENCE
from tests.support.processes import cutting, read_to_end, started


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that are over at once; how long they are is another test's matter."""
    monkeypatch.setattr("hub.client.backoff.FIRST_WAIT", 0.001)


def at(running: Loopback) -> str:
    return f"http://127.0.0.1:{running.port}"


async def test_tail_goes_on_where_a_connection_broke(url: str) -> None:
    """While an answer is typed, so that the breaks are in the middle of it."""
    async with Hub(url) as hub, cutting(url, after=[3000, 9000, 40, 9000]) as proxy:
        await hub.generate("hello", upstream="slow", stream="broken")
        tailing = await started("tail", "broken", "--json", url=proxy)
        held: list[dict[str, Any]] = []
        while not held or held[-1]["type"] != "finished":
            line = await asyncio.wait_for(tailing.stdout.readline(), PATIENCE)
            held.append(orjson.loads(line))
        tailing.send_signal(signal.SIGINT)
        _, err = await tailing.communicate()
    assert err == b""
    assert said_in(held) == said_in(await read_to_end(url, "broken"))


def said_in(events: list[dict[str, Any]]) -> str:
    return "".join(event.get("text", "") + event.get("reasoning", "") for event in events)


async def test_following_gives_up_when_the_hub_stays_away(url: str, quick: None) -> None:
    lines = [f"line {number}" for number in range(100)]
    async with Hub(url) as hub:
        for line in lines:
            await hub.append("away", {"type": "note", "text": line})
    held: list[str] = []

    async def read_all(hub: Hub) -> None:
        async for heard in hear(hub.wire, "away", "start"):
            held.append(orjson.loads(heard.body)["text"])  # noqa: PERF401  # kept on an error

    async with cutting(url, after=[2000, 2000] + [0] * 20) as proxy, Hub(proxy) as hub:
        with pytest.raises(HubError, match=r"in 8 tries") as caught:
            await read_all(hub)
    assert caught.value.code == "hub_unreachable"
    assert 0 < len(held) < len(lines)
    assert held == lines[: len(held)]


async def test_each_record_comes_as_what_it_is() -> None:
    async with hub_on_loopback() as running, Hub(at(running)) as hub:
        await hub.append("mixed", Message("user", "hé"))
        await hub.append("mixed", {"type": "note", "n": 1})
        await hub.append("mixed", {"type": "delta", "text": 7})
        for body in (b"[[1,2]]", b'["text"]'):
            answer = await hub.wire.send(
                "POST", "/v1/stream/mixed", body, {"Content-Type": "application/json"}
            )
            assert answer[0] == 204
        await hub.wire.send("POST", "/v1/stream/mixed", b"", {"Stream-Closed": "true"})
        held = [event async for event in hub.follow("mixed")]
    assert held == [
        Message("user", "hé"),
        Other({"type": "note", "n": 1}),
        Other({"type": "delta", "text": 7}),
        Value([1, 2]),
        Value("text"),
    ]


async def test_its_position_is_where_another_can_go_on() -> None:
    async with hub_on_loopback() as running, Hub(at(running)) as hub:
        for number in range(10):
            await hub.append("counted", {"n": number})
        async with hub.follow("counted") as first:
            held = [await anext(first) for _ in range(4)]
        async with hub.follow("counted", from_=first.position) as second:
            held += [await anext(second) for _ in range(6)]
        assert second.position == await hub.append("counted", {"n": 10}) or second.position
    assert held == [Other({"n": number}) for number in range(10)]


async def test_a_jump_is_said() -> None:
    async with hub_on_loopback(streams={"max_records": 5}) as running, Hub(at(running)) as hub:
        old = await hub.append("short", {"n": 0})
        for number in range(1, 20):
            await hub.append("short", {"n": number})
        async with hub.follow("short", from_=old) as following:
            reset = await anext(following)
            assert isinstance(reset, Reset)
            assert reset.reason == "trimmed"
            assert following.position == reset.position
            event = await anext(following)
            assert isinstance(event, Other)
            assert event.object["n"] > 1


async def test_what_cannot_be_followed_is_refused_as_what_it_is() -> None:
    async with hub_on_loopback() as running, Hub(at(running)) as hub:
        with pytest.raises(StreamNotFound) as missing:
            await anext(hub.follow("nothing"))
        assert missing.value.code == "stream_not_found"
        await hub.append("there", {"n": 1})
        with pytest.raises(PositionError):
            await anext(hub.follow("there", from_="nonsense"))


async def test_leaving_closes_the_connection() -> None:
    async with hub_on_loopback() as running, Hub(at(running)) as hub:
        await hub.append("left", {"n": 1})
        async with hub.follow("left") as following:
            await anext(following)
            assert len(running.hub.connections) == 1
        await eventually(lambda: not running.hub.connections)


async def test_an_answer_through_a_line_that_breaks_all_the_time_is_whole(quick: None) -> None:
    async with hub_on_loopback() as running, cutting(at(running), after=[1500] * 30) as proxy:
        async with Hub(at(running)) as direct:
            generation = await direct.generate("poem", stream="verse")
        async with Hub(proxy) as hub, aclosing(hub.answer(generation)) as events:
            held = [event async for event in events]
        kept = [event async for event in (await running.hub.streams.open("verse")).events()]
    assert isinstance(held[-1], Finished)
    told = "".join(event.text for event in held if isinstance(event, Delta))
    assert told == "".join(event.text for event in kept if isinstance(event, Delta))
