"""Which stream a generation is in, told without reading it."""

from __future__ import annotations

from typing import cast

import pytest

from hub.access.generations import GenerationAccess
from hub.access.permissions import Permissions
from hub.access.revocations import Revocations
from hub.domain.events import Message
from hub.stores.memory import MemoryStore
from hub.streams.history import History
from tests.conftest import StartHub
from tests.support.fake_runs import Runner
from tests.support.fake_upstream import END, FakeUpstream, said
from tests.support.people import auth, bearer


async def test_a_generation_is_in_its_stream_and_not_in_a_later_one_of_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Runner(FakeUpstream([said("Hello"), END]), store=MemoryStore())
    access = GenerationAccess(
        desk.streams,
        desk.runs,
        desk.upstreams,
        cast(Permissions, None),
        cast(Revocations, None),
        name_length=100,
        prompt_messages=100,
    )
    generation = await desk.ask(stream="chat")
    await desk.runs.wait(generation.id)
    monkeypatch.setattr(History, "stretches", None)  # nothing is read
    first = await desk.stream("chat")
    assert await access._holds(first, generation)
    await desk.streams.remove(first)
    second, _ = await desk.streams.create("chat")
    for _ in range(first.tail):
        second.append(Message("user", "a"))
    assert not await access._holds(second, generation)


@pytest.mark.parametrize("field", ["after", "branch"])
async def test_who_may_not_read_a_stream_does_not_learn_what_its_messages_are_called(
    start_hub: StartHub, field: str
) -> None:
    grant = {"who": "user", "match": "box", "can": ["append", "generate"]}
    hub = await start_hub(auth=auth(grant))
    await hub.hub.streams.append_to("box", Message("user", "Hi", "ann", extra={"id": "m1"}))
    answered = []
    for name in ("m1", "m2"):
        asked = {"stream": "box", "prompt": "echo a", field: name}
        async with hub.client.post(
            "/v1/generations", json=asked, headers=bearer("bob")
        ) as response:
            answered.append((response.status, (await response.json())["error"]["code"]))
    assert answered == [(404, "stream_not_found")] * 2
    asked = {"stream": "box", "prompt": "echo a"}
    async with hub.client.post("/v1/generations", json=asked, headers=bearer("bob")) as response:
        assert response.status == 201
