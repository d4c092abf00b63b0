"""AG-UI's own client, ``HttpAgent`` of ``@ag-ui/client``, unchanged: it got an empty run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.domain.events import Message
from tests.clients.node import told
from tests.conftest import StartHub
from tests.support.openai_client import World, completing
from tests.support.upstream_answers import Answer, Ending, openai_block, openai_sse

LOOK: list[dict[str, Any]] = [
    {"name": "look", "description": "Look", "parameters": {"type": "object", "properties": {}}}
]


@pytest.fixture
async def world(start_hub: StartHub) -> AsyncIterator[World]:
    async with completing(start_hub, default_upstream="scripted") as made:
        yield made


async def ran(world: World, *runs: dict[str, Any], path: str = "/api/agent") -> list[Any]:
    url = str(world.running.client.make_url(path))
    given = {"url": url, "headers": {}, "threadId": "thread", "runs": runs}
    return await told("agui.mjs", given)


@pytest.mark.parametrize("path", ["/api/agent", "/api/chat/thread"])
async def test_a_run_has_its_answer(path: str, world: World) -> None:
    world.upstream.answers(Answer(*openai_sse("Hel", "lo")), Answer(*openai_sse("Again")))
    first, second = await ran(world, {"message": "Hi"}, {"message": "And?"}, path=path)
    assert first["error"] is None
    assert first["types"][0] == "RUN_STARTED"
    assert first["types"][-1] == "RUN_FINISHED"
    assert first["runs"] == ["run-0"]
    talk = [("user", "Hi"), ("assistant", "Hello"), ("user", "And?"), ("assistant", "Again")]
    assert [(m["role"], m["content"]) for m in second["messages"]] == talk
    assert world.upstream.requests[1].json["messages"] == [
        {"role": role, "content": text} for role, text in talk[:-1]
    ]
    stream = await world.running.hub.streams.open("thread")
    said = [event.text async for event in stream.events() if isinstance(event, Message)]
    assert said == ["Hi", "And?"]


async def test_a_tool_of_the_clients_is_called_and_answered(world: World) -> None:
    function = {"name": "look", "arguments": "{}"}
    call = {"index": 0, "id": "c1", "type": "function", "function": function}
    world.upstream.answers(
        Answer(openai_block({"tool_calls": [call]}), openai_block({}, finish_reason="tool_calls")),
        Answer(*openai_sse("A cat")),
    )
    first, second = await ran(
        world, {"message": "Look", "tools": LOOK}, {"answer": "cat", "tools": LOOK}
    )
    assert "TOOL_CALL_START" in first["types"]
    (made,) = [m for m in first["messages"] if m.get("toolCalls")]
    assert made["toolCalls"][0]["function"] == {"name": "look", "arguments": "{}"}
    assert second["error"] is None
    assert second["messages"][-1]["content"] == "A cat"
    asked = world.upstream.requests[1].json
    assert asked["tools"][0]["function"]["name"] == "look"
    assert [message["role"] for message in asked["messages"]] == ["user", "assistant", "tool"]
    assert asked["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "cat"}


async def test_reasoning_is_shown_and_not_repeated(world: World) -> None:
    blocks = (openai_block({"reasoning_content": "So"}), *openai_sse("Hello"))
    world.upstream.answers(Answer(*blocks), Answer(*openai_sse("Again")))
    first, second = await ran(world, {"message": "Hi"}, {"message": "And?"})
    assert "REASONING_MESSAGE_CONTENT" in first["types"]
    assert (first["error"], second["error"]) == (None, None)
    roles = [message["role"] for message in world.upstream.requests[1].json["messages"]]
    assert roles == ["user", "assistant", "user"]


async def test_what_breaks_off_is_a_run_error(world: World) -> None:
    world.upstream.answers(Answer(openai_block({"content": "Hel"}), Ending.CLOSE))
    (run,) = await ran(world, {"message": "Hi"})
    assert run["failure"]["code"] == "upstream_truncated"
    assert "terminated" not in (run["error"] or "")


async def test_a_run_without_a_thread_is_refused(world: World) -> None:
    body = {"runId": "r", "messages": [{"id": "m", "role": "user", "content": "Hi"}]}
    headers = {"Accept": "text/event-stream"}
    async with world.running.client.post("/api/agent", json=body, headers=headers) as answer:
        assert answer.status == 400
        assert "threadId" in (await answer.json())["error"]


async def test_pictures_of_ag_ui_reach_the_model(world: World) -> None:
    world.upstream.answers(Answer(*openai_sse("A cat")))
    source = {"type": "data", "value": "AAAA", "mimeType": "image/png"}
    content = [
        {"type": "text", "text": "Look"},
        {"type": "image", "source": source},
        {"type": "binary", "mimeType": "application/pdf", "data": "JVBERi0=", "filename": "a.pdf"},
    ]
    message = {"id": "m", "role": "user", "content": content}
    body = {"threadId": "thread", "runId": "r", "messages": [message], "state": {}, "context": []}
    async with world.running.client.post("/api/agent", json=body) as answer:
        assert answer.status == 200, await answer.text()
        assert "RUN_FINISHED" in await answer.text()
    assert world.upstream.requests[0].json["messages"][0]["content"] == [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
        },
    ]
