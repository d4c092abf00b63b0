"""What TanStack AI's routes make of a request, beside what its clients see."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from hub.domain.events import Message
from hub.protocols.agui import endpoint
from hub.protocols.agui.endpoint import MessageIndex, _Known
from hub.protocols.conversation.stream_indexes import Indexes
from hub.protocols.conversation.view import View
from hub.protocols.conversation.view_reading import Viewed
from hub.protocols.durable.responses import Part
from hub.streams.stream import Stream
from tests.conftest import StartHub
from tests.support.looked_at import looked_at
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE

SAID: Final = {"id": "q1", "role": "user", "parts": [{"type": "text", "content": "echo hi"}]}


async def known(stream: Stream) -> _Known:
    return _Known(await Indexes(MessageIndex).of(stream), stream.head)


def message(name: str) -> Message:
    return Message("user", "Hi", extra={"id": name})


async def test_messages_are_known_by_their_identities() -> None:
    stream = Stream("s")
    nameless = Message("user", "Hi")
    result = Message("tool", "sunny", extra={"tool_call_id": "c1"})
    for one in (message("a"), message("b"), nameless, result, message("a")):
        stream.append(one)
    held = await known(stream)
    new = (message("n"), message("x" * 100))
    assert endpoint._unknown((message("a"), result, *new, nameless), held) == (*new, nameless)
    assert held.newest == "a"


async def test_what_is_no_longer_kept_is_not_known() -> None:
    stream = Stream("s")
    for name in "abc":
        stream.append(message(name))
    stream.trim(2)
    held = await known(stream)
    assert [name in held for name in "abc"] == [False, False, True]
    stream.trim(3)
    assert (await known(stream)).newest is None
    assert (await known(Stream("t"))).newest is None


async def test_the_name_of_a_run_is_short(start_hub: StartHub) -> None:
    """It is kept for as long as the answer lasts."""
    hub = await start_hub()
    for length, status in ((endpoint.RUN_LENGTH, 200), (endpoint.RUN_LENGTH + 1, 400)):
        body = {"threadId": "c", "runId": "r" * length, "messages": [SAID | {"content": "echo hi"}]}
        async with hub.client.post("/api/agent", json=body) as response:
            assert response.status == status, await response.text()


async def test_no_request_looks_at_what_one_before_it_has_seen(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = await start_hub()
    looked = looked_at(MessageIndex, monkeypatch)
    for number in range(3):
        body: dict[str, Any] = {"messages": [{**SAID, "id": f"q{number}"}]}
        async with hub.client.post("/api/chat/c", json=body) as response:
            assert response.status == 202, await response.text()
            generation = response.headers["Streamhub-Generation"]
        await hub.hub.generations.wait(generation)
    assert looked
    assert looked == sorted(set(looked))


@pytest.mark.parametrize("live", ["", "&live=long-poll"])
async def test_one_caller_has_one_view_made_at_a_time(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch, live: str
) -> None:
    hub = await start_hub()
    for name in "abc":
        await hub.hub.streams.append_to("c", message(name))
    at_once: list[int] = []
    made = 0
    part = Viewed.part

    async def noting(self: Viewed, view: View, offset: int) -> Part:
        nonlocal made
        made += 1
        at_once.append(made)
        await asyncio.sleep(0)
        found = await part(self, view, offset)
        made -= 1
        return found

    monkeypatch.setattr(Viewed, "part", noting)

    async def read() -> Any:
        async with hub.client.get(f"/api/chat/c?offset=-1{live}") as response:
            return response.status, await response.json()

    found = await asyncio.gather(*(read() for _ in range(5)))
    assert found == [found[0]] * 5
    assert found[0][0] == 200
    assert at_once == [1] * 5


@pytest.mark.parametrize("path", ["/api/chat/c?offset=-1", "/v1/responses/resp_0"])
async def test_without_authentication_the_caller_is_an_address(
    start_hub: StartHub, path: str
) -> None:
    hub = await start_hub(server={"trusted_proxies": ["127.0.0.0/8"]})
    await hub.hub.streams.append_to("c", message("a"))

    async def read(address: str) -> None:
        async with hub.client.get(path, headers={"X-Forwarded-For": address}) as response:
            await response.read()

    reads = hub.hub.callers.reads.of("address 192.0.2.1")
    async with reads:
        waiting = asyncio.create_task(read("192.0.2.1"))
        await eventually(lambda: reads._waiters)
        async with asyncio.timeout(PATIENCE):
            await read("192.0.2.2")
        assert not waiting.done()
    await waiting
