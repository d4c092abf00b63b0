"""Many streams in one response; for what one stream means see ``promises/test_transports.py``."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse

from hub import Hub
from hub.access.streams import StreamAccess
from hub.connections.connection import Connection
from hub.domain.errors import StreamNotFound
from hub.domain.events import Message
from hub.domain.principal import Principal
from hub.domain.stream_settings import StreamSettings
from hub.http.errors import CloseCode
from hub.protocols.follow import AT_ONCE
from hub.protocols.subscribing import SubscriptionAsked
from tests.conftest import Running, StartHub
from tests.support.loop_rounds import Rounds
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.people import auth, bearer

Told = dict[str, Any]


class Followed:
    """What a response has told, stream by stream."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response
        self.told: list[Told] = []
        self.over = False

    async def next(self) -> Told | None:
        """The next message; ``None`` at the end of the response."""
        async with asyncio.timeout(PATIENCE):
            line = await self.response.content.readline()
        if not line:
            self.over = True
            return None
        self.told.append(json.loads(line))
        return self.told[-1]

    async def until(self, kind: str, stream: str | None = None) -> Told:
        """The next message of a kind, about a stream."""
        while (told := await self.next()) is not None:
            if told["type"] == kind and stream in (None, told.get("stream")):
                return told
        raise AssertionError(f"the response ended before {kind}: {self.told}")

    async def rest(self) -> list[Told]:
        """All further messages, but beats."""
        before = len(self.told)
        while await self.next() is not None:
            pass
        return [told for told in self.told[before:] if told["type"] != "beat"]

    def texts(self, stream: str) -> list[str]:
        frames = [told for told in self.told if told.get("stream") == stream]
        return [event["text"] for told in frames for event in told.get("events", ())]


def wanted(*names: str, **more: Any) -> list[Told]:
    return [{"stream": name, "from": "start", **more} for name in names]


@asynccontextmanager
async def follow(
    running: Running, asked: list[Told], who: str | None = None
) -> AsyncIterator[Followed]:
    headers = {} if who is None else bearer(who)
    path = "/v1/follow?format=ndjson"
    async with running.client.post(path, json=asked, headers=headers) as response:
        assert response.status == 200, await response.text()
        yield Followed(response)


async def say(running: Running, name: str, *texts: str) -> None:
    for text in texts:
        await running.hub.streams.append_to(name, Message("user", text))


@pytest.fixture
async def running(start_hub: StartHub) -> Running:
    made = await start_hub(limits={"subscriptions": 4})
    for name in ("a", "b"):
        await say(made, name, f"{name}1")
    return made


async def test_one_response_carries_the_records_of_all(running: Running) -> None:
    async with follow(running, wanted("a", "b")) as told:
        for name in ("a", "b"):
            stream = await running.hub.streams.open(name)
            ok = await told.until("ok", name)
            assert (ok["position"], ok["tail"]) == (
                str(stream.position_at(0)),
                str(stream.position),
            )
            await told.until("events", name)
        for name in ("b", "a", "b"):
            await say(running, name, f"{name}+")
            frame = await told.until("events", name)
            assert frame["position"] == str((await running.hub.streams.open(name)).position)
        assert len(running.hub.connections) == 1
    assert (told.texts("a"), told.texts("b")) == (["a1", "a+"], ["b1", "b+", "b+"])
    await eventually(lambda: not running.hub.connections)


async def test_a_stream_that_is_refused_is_told_so_and_the_others_go_on(running: Running) -> None:
    await running.hub.streams.make("bytes", StreamSettings("application/octet-stream"))
    asked = [
        *wanted("a", "none", "bytes"),
        {"stream": "late", "from": "yesterday", "wait": True},
        *wanted("b"),
    ]
    async with follow(running, asked) as told:
        await told.until("ok", "b")
        errors = {one["stream"]: one["code"] for one in told.told if one["type"] == "error"}
        assert errors == {
            "none": "stream_not_found",
            "bytes": "not_json",
            "late": "bad_position",
        }
        for name in ("a", "b"):
            await say(running, name, "more")
            while "more" not in told.texts(name):
                await told.until("events", name)


async def test_only_so_many_are_followed(running: Running) -> None:
    async with follow(running, wanted("a", "b", "c", "d", "e", wait=True)) as told:
        refused = await told.until("error")
        assert (refused["stream"], refused["code"]) == ("e", "limit_exceeded")
        await say(running, "d", "d1")
        await told.until("events", "d")


async def test_a_stream_that_is_waited_for_comes_whole(running: Running) -> None:
    async with follow(running, [*wanted("a"), {"stream": "late", "wait": True}]) as told:
        assert (await told.until("ok", "late"))["position"] is None
        await say(running, "late", "one", "two")
        while told.texts("late") != ["one", "two"]:
            await told.until("events", "late")


async def test_what_begins_as_something_else_is_told_and_the_others_go_on(
    running: Running,
) -> None:
    asked = [*wanted("a"), {"stream": "late", "wait": True}]
    async with follow(running, asked) as told:
        await told.until("ok", "late")
        await running.hub.streams.make("late", StreamSettings("application/octet-stream"))
        assert (await told.until("error", "late"))["code"] == "not_json"
        await say(running, "a", "more")
        await told.until("events", "a")
    async with follow(running, [{"stream": "later", "wait": True}]) as told:
        await told.until("ok", "later")
        await running.hub.streams.make("later", StreamSettings("application/octet-stream"))
        assert [one["code"] for one in await told.rest()] == ["not_json"]


async def test_the_response_ends_with_its_last_stream(running: Running) -> None:
    async with follow(running, wanted("a", "b")) as told:
        await told.until("events", "b")
        await running.hub.streams.write("a", [], close=True)
        await told.until("closed", "a")
        await say(running, "b", "more")
        await told.until("events", "b")
        await running.hub.streams.write("b", [], close=True)
        assert [one["type"] for one in await told.rest()] == ["closed"]


async def test_a_stream_that_ends_before_the_others_were_opened_ends_nothing(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await running.hub.streams.write("a", [], close=True)
    may, opened = asyncio.Event(), StreamAccess.open

    async def later(access: StreamAccess, name: str, **more: Any) -> Any:
        if name == "b":
            await may.wait()
        return await opened(access, name, **more)

    monkeypatch.setattr(StreamAccess, "open", later)
    async with follow(running, wanted("a", "b")) as told:
        await told.until("closed", "a")
        may.set()
        await told.until("events", "b")
        await say(running, "b", "more")
        await told.until("events", "b")


async def test_what_is_refused_altogether_ends_well(running: Running) -> None:
    async with follow(running, wanted("none", "nowhere")) as told:
        kinds = [(one["type"], one["stream"]) for one in await told.rest()]
        assert kinds == [("error", "none"), ("error", "nowhere")]


@pytest.mark.parametrize(
    "asked",
    [
        {"stream": "a"},
        [],
        ["a"],
        [{}],
        wanted("a", "a"),
        [{"stream": "a", "since": "start"}],
        wanted(*(f"s{number}" for number in range(257))),
    ],
    ids=lambda asked: str(asked)[:30],
)
async def test_what_makes_no_sense_is_refused(running: Running, asked: Any) -> None:
    async with running.client.post("/v1/follow", json=asked) as response:
        assert response.status == 400
        assert (await response.json())["error"]["message"]


async def test_its_body_holds_no_memory_while_it_lasts(running: Running) -> None:
    asked = wanted(*(f"s{number:0180}" for number in range(200)), wait=True)
    async with follow(running, asked) as told:
        await told.until("error")
        running.hub.allowance.check(running.hub.limits.bodies_bytes)


async def test_it_ends_after_a_while_and_nothing_is_lost_or_doubled(start_hub: StartHub) -> None:
    """Nor when the set changes, as it does here with every request."""
    running = await start_hub(streams={"sse_rotate_seconds": 0.05})
    names = [f"s{number}" for number in range(5)]
    chance = random.Random(1)  # noqa: S311 - not a secret
    heard: dict[str, list[str]] = {name: [] for name in names}
    places = dict.fromkeys(names, "start")
    said = dict.fromkeys(names, 0)
    done = False

    async def talk() -> None:
        while not done:
            name = chance.choice(names)
            await say(running, name, f"{name} {said[name]}")
            said[name] += 1
            await asyncio.sleep(0.001)

    def complete() -> bool:
        return all(len(heard[name]) == said[name] for name in names)

    talking = asyncio.create_task(talk())
    rounds = 0
    while not (done and complete()):
        rounds += 1
        if rounds == 10:
            done = True
            await talking
        some = names if done else chance.sample(names, chance.randint(1, 5))
        asked = [{"stream": name, "from": places[name], "wait": True} for name in some]
        async with follow(running, asked) as told:
            cut = chance.random() < 0.3
            while (frame := await told.next()) is not None:
                if frame["type"] == "events":
                    heard[frame["stream"]] += [event["text"] for event in frame["events"]]
                    places[frame["stream"]] = frame["position"]
                    if cut:
                        break
            assert cut or told.over
    assert heard == {name: [f"{name} {number}" for number in range(said[name])] for name in names}


# Whose it is


@pytest.fixture
async def guarded(start_hub: StartHub) -> Running:
    made = await start_hub(auth=auth())
    for who in ("ann", "bob"):
        await say(made, f"chat/{who}/1", f"for {who}")
        await say(made, f"chat/{who}/2", f"for {who}")
    return made


async def test_each_stream_is_asked_for_by_itself(guarded: Running) -> None:
    asked = wanted("chat/bob/1", "chat/ann/1", "chat/bob/none", wait=True)
    async with follow(guarded, asked, "ann") as told:
        await told.until("events", "chat/ann/1")
        await say(guarded, "chat/bob/none", "for bob")
        await say(guarded, "chat/ann/1", "more")
        await told.until("events", "chat/ann/1")
        errors = {one["stream"]: one["code"] for one in told.told if one["type"] == "error"}
        assert errors == dict.fromkeys(("chat/bob/1", "chat/bob/none"), "stream_not_found")
        assert "for bob" not in json.dumps(told.told)


async def test_a_stream_that_changes_hands_ends_and_the_others_go_on(
    start_hub: StartHub,
) -> None:
    running = await start_hub(auth=auth())
    # Outside everybody's folder, so that only the owner matters.
    for name in ("one", "two"):
        await running.hub.streams.append_to(name, Message("user", name), by=Principal("ann"))
    async with follow(running, wanted("one", "two"), "ann") as told:
        await told.until("events", "two")
        await running.hub.change_owner("one", "bob")
        assert (await told.until("error", "one"))["code"] == "stream_not_found"
        await say(running, "one", "for bob")
        await say(running, "two", "more")
        await told.until("events", "two")
        await running.hub.change_owner("two", "bob")
        assert [one["type"] for one in await told.rest()] == ["error"]
        assert "for bob" not in json.dumps(told.told)


async def test_a_revoked_credential_ends_it_and_cannot_come_back(guarded: Running) -> None:
    async with follow(guarded, wanted("chat/ann/1", "chat/ann/2"), "ann") as told:
        await told.until("events", "chat/ann/2")
        (connection,) = guarded.hub.connections
        connection.revoke(CloseCode.REVOKED)
        await say(guarded, "chat/ann/1", "more")
        assert await told.rest() == []


async def test_a_hub_that_shuts_down_says_when_to_come_back(running: Running) -> None:
    async with follow(running, wanted("a", "b")) as told:
        await told.until("events", "b")
        closing = asyncio.create_task(running.client.server.close())
        assert (await told.until("draining"))["retry_ms"] > 0
        await closing


async def test_many_streams_are_begun_in_several_turns(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, rounds = await start_hub(), Rounds()

    async def noted(hub: Hub, connection: Connection, asked: SubscriptionAsked) -> None:
        rounds.note()
        raise StreamNotFound.named(asked.stream)

    monkeypatch.setattr("hub.protocols.follow.subscribe", noted)
    asked = [{"stream": f"s{number}"} for number in range(100)]
    with rounds:
        async with hub.client.post("/v1/follow?format=ndjson", json=asked) as response:
            assert len((await response.text()).splitlines()) == 100
    assert sum(rounds.noted.values()) == 100
    assert rounds.most <= AT_ONCE
