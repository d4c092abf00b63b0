"""What a client may do with a hub, and that trying again has one effect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from unittest.mock import ANY

import pytest

from hub.client import (
    Delta,
    Dropped,
    Event,
    Finished,
    Hub,
    HubError,
    Message,
    Other,
    Queued,
    QueueView,
    Started,
)
from hub.domain.errors import Conflict, GenerationNotFound, RequestError, TooLarge
from hub.domain.generation_request import GenerationRequest
from tests.support.connections import Connections
from tests.support.loopback_hub import Loopback, hub_on_loopback


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.client.backoff.FIRST_WAIT", 0.001)


def at(running: Loopback) -> str:
    return f"http://127.0.0.1:{running.port}"


@asynccontextmanager
async def losing_replies(url: str, *, first: int) -> AsyncIterator[str]:
    """A proxy that passes each request on, and cuts off the replies to the first ones."""
    port = int(url.rpartition(":")[2])
    left = [first]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hub_reader, hub_writer = await asyncio.open_connection("127.0.0.1", port)
        back = asyncio.create_task(answer(hub_reader, writer))
        try:
            while piece := await reader.read(65536):
                hub_writer.write(piece)
        finally:
            hub_writer.close()
            await asyncio.wait([back])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            if left[0]:
                left[0] -= 1
                break
            writer.write(piece)
        writer.transport.abort()

    connections = Connections(serve)
    try:
        yield f"http://127.0.0.1:{connections.listen()}"
    finally:
        connections.stop()
        await connections.cut()


async def test_an_answer_is_followed_from_its_start_to_its_end() -> None:
    async with hub_on_loopback() as running, Hub(at(running)) as hub:
        await hub.append("chat", Message("user", "before"))
        generation = await hub.generate("help", stream="chat", author="Ada")
        events = [event async for event in hub.answer(generation)]
        assert isinstance(events[0], Started)
        assert isinstance(events[-1], Finished)
        assert "".join(event.text for event in events if isinstance(event, Delta))
        ended = await hub.generation(generation.id)
    assert (ended.state, ended.stream, ended.reason) == ("finished", "chat", "stop")
    assert ended.usage is not None
    assert ended.usage.completion_tokens


async def test_a_cancel_stops_it_for_everybody() -> None:
    async with hub_on_loopback(
        upstreams={"slow": {"dialect": "demo", "options": {"pace": 20}}}
    ) as running, Hub(at(running)) as hub:  # fmt: skip
        generation = await hub.generate("long", upstream="slow")
        assert (await hub.cancel(generation.id)).state == "cancelled"
        assert (await hub.cancel(generation.id)).state == "cancelled"
        assert (await hub.generation(generation.id)).state == "cancelled"


async def test_a_fork_goes_on_differently() -> None:
    async with hub_on_loopback() as running, Hub(at(running)) as hub:
        await hub.append("one", {"n": 0})
        after = await hub.append("one", {"n": 1})
        await hub.append("one", {"n": 2})
        await hub.fork("two", "one", after)
        await hub.append("two", {"n": "other"})
        async with hub.follow("two") as following:
            held = [await anext(following) for _ in range(3)]
        assert held == [Other({"n": said}) for said in (0, 1, "other")]
        await hub.delete("two")
        with pytest.raises(HubError) as gone:
            await anext(hub.follow("two"))
    assert gone.value.code == "stream_not_found"


Attempt = Callable[[Hub], Awaitable[object]]


async def _ask(hub: Hub) -> object:
    return await hub.generate("help", stream="once")


async def _append(hub: Hub) -> object:
    return await hub.append("once", Message("user", "help"))


@pytest.mark.parametrize("attempt", [_ask, _append])
async def test_a_lost_reply_is_asked_for_again_and_has_one_effect(attempt: Attempt) -> None:
    async with hub_on_loopback() as running, losing_replies(at(running), first=3) as proxy:
        async with Hub(proxy) as hub:
            await attempt(hub)
        stream = await running.hub.streams.open("once")
        said = [event async for event in stream.events() if isinstance(event, Message)]
    assert [event.text for event in said] == ["help"]


async def test_appends_at_once_stay_in_order_and_are_each_there_once() -> None:
    async with hub_on_loopback() as running, losing_replies(at(running), first=4) as proxy:
        async with Hub(proxy) as hub:
            await asyncio.gather(*(hub.append("many", {"n": n}) for n in range(50)))
        async with Hub(at(running)) as hub, hub.follow("many") as following:
            held = [await anext(following) for _ in range(50)]
            assert following.position == (await running.hub.streams.open("many")).position.__str__()
    assert held == [Other({"n": number}) for number in range(50)]


async def test_refusals_are_the_errors_that_they_are_in_the_hub() -> None:
    async with hub_on_loopback() as running, Hub(at(running)) as hub:
        with pytest.raises(GenerationNotFound):
            await hub.cancel("gen_of_nobody")
        with pytest.raises(RequestError):
            await hub.generate()
        with pytest.raises(TooLarge):
            await hub.append("big", {"text": "x" * 21_000_000})
        await hub.generate("help", stream="keyed", key="k")
        with pytest.raises(HubError) as reused:
            await hub.generate("other", stream="keyed", key="k")
        assert reused.value.code == "key_reused"
        await hub.append("one", {"n": 1})
        await hub.append("two", {"n": 1})
        with pytest.raises(Conflict):
            await hub.fork("two", "one")


async def test_after_a_refused_append_the_next_one_works() -> None:
    async with hub_on_loopback() as running, Hub(at(running)) as hub:
        await hub.append("mended", {"n": 1})
        with pytest.raises(HubError):
            await hub.append("mended", {"type": "reset"})
        await hub.append("mended", {"n": 2})
        async with hub.follow("mended") as following:
            held = [await anext(following) for _ in range(2)]
    assert held == [Other({"n": 1}), Other({"n": 2})]


async def test_the_models_are_listed() -> None:
    async with hub_on_loopback() as running, Hub(at(running)) as hub:
        assert await hub.models() == ["demo"]


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(RequestError):
        Hub("localhost:7000")


async def test_prompts_wait_for_their_turn() -> None:
    slow = {"slow": {"dialect": "demo", "options": {"pace": 200}}}
    async with hub_on_loopback(upstreams=slow) as running, Hub(at(running)) as hub:
        await hub.generate("long", stream="chat", upstream="slow")
        two = await hub.generate("echo two", stream="chat", author="Ada", when_busy="queue")
        three = await hub.generate("echo 3", stream="chat", when_busy="queue")
        four = await hub.generate("echo four", stream="chat", when_busy="queue")
        assert two.state == three.state == "queued"
        assert (await hub.requeue(three.id, prompt="echo three", place=1)).state == "queued"
        assert (await hub.cancel(four.id)).state == "dropped"
        queue = await hub.queue("chat")
        assert [(one.generation, one.text) for one in queue.prompts] == [
            (three.id, "echo three"),
            (two.id, "echo two"),
        ]
        assert (queue.prompts[1].author, queue.held) == ("Ada", False)
        assert (await hub.generation(two.id)).state == "queued"
        await hub.requeue(two.id, now=True)
        answer = [event async for event in hub.answer(two)]
        assert isinstance(answer[0], Queued)
        assert isinstance(answer[-1], Finished)
        assert [event async for event in hub.answer(four)][-1] == Dropped(four.id, at=ANY)
        async for event in hub.answer(three):
            assert not isinstance(event, Dropped)
        view, said = QueueView("chat"), []
        async for one in hub.follow("chat"):
            if isinstance(one, Event):
                view.hear(one)
            if isinstance(one, Message):
                said.append(one.text)
            if isinstance(one, Finished) and one.generation == three.id:
                break
        assert said == ["long", "echo two", "echo three"]
        assert view.prompts == ()
        with pytest.raises(Conflict) as caught:
            await hub.requeue(three.id, now=True)
        assert caught.value.code == "not_queued"


async def test_a_prompt_that_is_sent_again_after_a_lost_reply_waits_once() -> None:
    slow = {"slow": {"dialect": "demo", "options": {"pace": 5}}}
    async with hub_on_loopback(upstreams=slow) as running:
        await running.hub.generations.start(GenerationRequest("long", stream="c", upstream="slow"))
        async with losing_replies(at(running), first=2) as proxy, Hub(proxy) as hub:
            queued = await hub.generate("echo two", stream="c", when_busy="queue")
            assert [one.generation for one in (await hub.queue("c")).prompts] == [queued.id]
