"""Presence over real sockets: everybody's view becomes the truth, whatever happens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from hub.connections.participants import EACH
from tests.conftest import Running, StartHub
from tests.protocols.websocket.test_endpoint import Talk
from tests.support.patience import PATIENCE

Obj = dict[str, Any]


class Guest(Talk):
    """A client that adds up what it is told of who is there."""

    def __init__(self, running: Running, socket: Any) -> None:
        super().__init__(running, socket)
        self.there: dict[str, Any] = {}
        self.mine: dict[str, str] = {}

    async def take_part(self, state: Any, label: str = "tab", stream: str = "chat") -> Obj:
        reply = await self.say(type="presence", stream=stream, member=label, state=state)
        self.fold()
        if reply["type"] == "ok":
            if state is None:
                self.mine.pop(label, None)
                assert reply["member"] is None
            else:
                assert self.mine.setdefault(label, reply["member"]) == reply["member"]
        if not self.mine:
            self.there.clear()  # it is told nothing more
        return reply

    def fold(self) -> None:
        for frame in self.other:
            if frame["type"] == "presence":
                assert frame["joined"] or frame["left"]
                for member in frame["left"]:
                    del self.there[member]
                self.there.update({one["member"]: one["state"] for one in frame["joined"]})
        self.other.clear()

    async def until(self, truth: dict[str, Any]) -> None:
        """Listen until it has been told what is true."""
        async with asyncio.timeout(PATIENCE):
            while self.there != truth:
                self.other.append(await self.hear())
                self.fold()


@pytest.fixture
async def running(start_hub: StartHub) -> Running:
    return await start_hub(limits={"presence": 30, "presence_bytes": 100})


@pytest.fixture
async def open_guests(running: Running) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:

        async def guests(count: int, **more: Any) -> list[Guest]:
            opened = []
            for _ in range(count):
                socket = await stack.enter_async_context(running.client.ws_connect("/v1/ws"))
                guest = Guest(running, socket)
                follow = {"type": "subscribe", "stream": "chat", "wait": True, **more}
                assert (await guest.say(**follow))["type"] == "ok"
                opened.append(guest)
            return opened

        yield guests


@pytest.mark.parametrize("seed", range(4))
async def test_any_coming_and_going_adds_up_to_the_truth(open_guests: Any, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - a test that can be run again
    guests: list[Guest] = await open_guests(4)
    truth: dict[str, Any] = {}
    for step in range(120):
        guest = dice.choice(guests)
        label = dice.choice(["a", "b", "c"])
        state = dice.choice([None, step, {"step": step}, "流"])
        gone = guest.mine.get(label)
        if state is None and gone is not None:
            del truth[gone]
        await guest.take_part(state, label)
        if state is not None:
            truth[guest.mine[label]] = state
        if step == 60:
            # The stream begins in the middle of it: nobody notices.
            await guests[0].say(type="append", stream="chat", event={"type": "vote"})
        if dice.random() < 0.1:
            await asyncio.sleep(0.02)
    for guest in guests:
        if guest.mine:
            await guest.until(truth)


async def test_who_dies_has_left_as_soon_as_it_is_noticed(open_guests: Any) -> None:
    one, two, three = await open_guests(3)
    for guest in (one, two, three):
        await guest.take_part("here")
    await one.until({guest.mine["tab"]: "here" for guest in (one, two, three)})
    transport = two.socket._response.connection.transport
    transport.abort()
    await one.until({guest.mine["tab"]: "here" for guest in (one, three)})
    await three.socket.close()
    await one.until({one.mine["tab"]: "here"})


async def test_unsubscribing_is_leaving(open_guests: Any) -> None:
    one, two = await open_guests(2)
    await one.take_part(1)
    await two.take_part(2)
    await one.until({one.mine["tab"]: 1, two.mine["tab"]: 2})
    assert (await two.say(type="unsubscribe", stream="chat"))["type"] == "ok"
    await one.until({one.mine["tab"]: 1})
    refused = await two.take_part(3)
    assert refused["code"] == "not_subscribed"


async def test_with_the_end_of_the_stream_everybody_has_left(
    running: Running, open_guests: Any
) -> None:
    stream, _ = await running.hub.streams.create("chat")
    one, two = await open_guests(2)
    await one.take_part(1)
    await two.take_part(2)
    await one.until({one.mine["tab"]: 1, two.mine["tab"]: 2})
    stream.close()
    async with asyncio.timeout(PATIENCE):
        while (await one.hear())["type"] != "closed":
            pass
        while (await two.hear())["type"] != "closed":
            pass
    assert len(running.hub.participants) == 0
    assert (await one.take_part(1))["code"] == "not_subscribed"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"state": "x" * 100}, "too_large"),
        ({"state": "流" * 33}, "too_large"),
        ({"state": [], "member": ""}, "bad_command"),
        ({"state": [], "member": "x" * 65}, "bad_command"),
        ({"state": [], "member": "a\nb"}, "bad_command"),
        ({"state": [], "member": 7}, "bad_command"),
        ({"member": "a"}, "bad_command"),
        ({"state": 1, "stream": "other"}, "not_subscribed"),
    ],
)
async def test_what_cannot_be_told_is_refused(open_guests: Any, command: Obj, code: str) -> None:
    (guest,) = await open_guests(1)
    reply = await guest.say(**{"type": "presence", "stream": "chat", **command})
    assert (reply["type"], reply["code"]) == ("error", code)
    assert (await guest.take_part("x" * 98))["type"] == "ok"


async def test_what_is_nested_too_deeply_to_be_written_is_refused(start_hub: StartHub) -> None:
    running = await start_hub()
    async with running.client.ws_connect("/v1/ws") as socket:
        guest = Guest(running, socket)
        await guest.say(type="subscribe", stream="chat", wait=True)
        state: Any = 1
        for _ in range(400):
            state = [state]
        reply = await guest.take_part(state)
        assert (reply["type"], reply["code"]) == ("error", "bad_command")
        assert (await guest.say(type="ping"))["type"] == "ok"


async def test_a_stream_and_a_connection_have_so_many_members(open_guests: Any) -> None:
    one, two = await open_guests(2)
    for number in range(EACH):
        assert (await one.take_part(1, str(number)))["type"] == "ok"
    assert (await one.take_part(1, "more"))["code"] == "limit_exceeded"
    for number in range(30 - EACH):
        assert (await two.take_part(1, str(number)))["type"] == "ok"
    assert (await two.take_part(1, "more"))["code"] == "limit_exceeded"
    assert (await one.take_part(None, "0"))["type"] == "ok"
    assert (await two.take_part(1, "more"))["type"] == "ok"


async def test_to_leave_without_having_been_there_is_nothing(open_guests: Any) -> None:
    (guest,) = await open_guests(1)
    reply = await guest.take_part(None, "nobody")
    assert reply == {"type": "ok", "id": "say", "stream": "chat", "member": None}


async def test_who_does_not_take_part_is_told_nothing(open_guests: Any) -> None:
    one, other = await open_guests(2)
    await one.take_part(1)
    await one.until({one.mine["tab"]: 1})
    assert (await other.say(type="ping"))["type"] == "ok"
    assert not other.other
