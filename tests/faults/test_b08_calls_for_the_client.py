"""Fault B8: what the client itself had to run (``computer_call`` …) was dropped in silence."""

from __future__ import annotations

from typing import Any, Final

import pytest

from hub.dialects.anthropic.reader import Anthropic
from hub.dialects.openai_chat import OpenAIChat
from hub.domain.errors import RequestError
from hub.domain.prompt import Prompt
from tests.faults.replies import named
from tests.faults.test_b08_tools_of_providers import only
from tests.faults.turns import USER, Client, asking
from tests.support.transcripts import READERS, replay

SEALED: Final = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [],
    "encrypted_content": "gAAAsealed",
}
CLICK: Final = {"type": "click", "x": 1, "y": 2, "button": "left"}
SCREEN: Final = {"type": "computer_screenshot", "image_url": "data:image/png;base64,AAAA"}
PATCH: Final = {"type": "delete_file", "path": "a.txt"}
EXEC: Final = {"type": "exec", "command": ["ls"], "env": {}}
CALLS: Final[dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]] = {
    "computer_call": (
        {"type": "computer_use_preview", "display_width": 9, "display_height": 9},
        {"id": "cu_1", "call_id": "c1", "action": CLICK, "pending_safety_checks": []},
        {"type": "computer_call_output", "call_id": "c1", "output": SCREEN},
    ),
    "local_shell_call": (
        {"type": "local_shell"},
        {"id": "lsh_1", "call_id": "c1", "action": EXEC},
        {"type": "local_shell_call_output", "id": "c1", "output": "{}"},
    ),
    "shell_call": (
        {"type": "shell"},
        {"id": "sh_1", "call_id": "c1", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "call_id": "c1", "output": []},
    ),
    "apply_patch_call": (
        {"type": "apply_patch"},
        {"id": "apc_1", "call_id": "c1", "operation": PATCH},
        {"type": "apply_patch_call_output", "call_id": "c1", "status": "completed"},
    ),
    "mcp_approval_request": (
        {"type": "mcp", "server_label": "s", "server_url": "https://a.example"},
        {"id": "mcpr_1", "name": "look", "arguments": "{}", "server_label": "s"},
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
    ),
}


def item_of(kind: str) -> dict[str, Any]:
    status = {} if kind == "mcp_approval_request" else {"status": "completed"}
    return {"type": kind, **CALLS[kind][1], **status}


def reply(*items: dict[str, Any]) -> bytes:
    done = {"type": "response.output_item.done"}
    end = {"status": "completed", "output": list(items)}
    return named(
        *({**done, "output_index": place, "item": item} for place, item in enumerate(items)),
        {"type": "response.completed", "response": end},
    )


def of_kind(items: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (item,) = [item for item in items if item["type"] == kind]
    return item


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("kind", CALLS)
async def test_responses_pass_it_and_its_output_on(kind: str, stored: bool) -> None:
    tool, _, output = CALLS[kind]
    item = item_of(kind)
    async with asking(only(reply(SEALED, item), "openai-responses")) as (client, upstream):
        asked: dict[str, Any] = {"model": "asked", "input": [USER], "tools": [tool]}
        answer = await client.post("/v1/responses", {**asked, "store": stored})
        assert of_kind(answer["output"], kind) == item
        if stored:
            more = {**asked, "input": [output], "previous_response_id": answer["id"]}
        else:
            more = {**asked, "input": [USER, *answer["output"], output], "store": False}
        again = await client.post("/v1/responses", more)
        first, second = (request.json for request in upstream.requests)
        given = await client.session.get(f"{client.url}/v1/responses/{again['id']}/input_items")
        listed = (await given.json()).get("data") if stored else [{**output, "status": "completed"}]
    assert first["tools"] == [tool]
    assert second["input"][1:] == [SEALED, item, output]
    shown = of_kind(listed, output["type"])
    assert {name: shown[name] for name in output} == output


@pytest.mark.parametrize("kind", CALLS)
async def test_responses_stream_it_unchanged(kind: str) -> None:
    item = item_of(kind)
    async with asking(only(reply(item), "openai-responses")) as (client, _):
        events = await client.streamed(
            "/v1/responses", {"model": "asked", "input": "Hi", "stream": True}
        )
    done = [event for event in events if event["type"] == "response.output_item.done"]
    assert of_kind([event["item"] for event in done], kind) == item
    assert events[-1]["type"] == "response.completed"


async def test_an_item_whose_reasoning_was_not_sent_back_still_stands_in_its_place() -> None:
    item, output = item_of("computer_call"), CALLS["computer_call"][2]
    web = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    said = {"type": "message", "role": "assistant", "content": "Wait"}
    items = [USER, web, said, item, output, USER]
    async with asking(only(reply(item), "openai-responses")) as (client, upstream):
        await client.post("/v1/responses", {"model": "asked", "input": items})
        (request,) = upstream.requests
    _, *sent, _ = request.json["input"]
    assert sent == [web, said, item, output]


async def chat(client: Client) -> tuple[int, Any]:
    body = {"model": "asked", "messages": [USER]}
    async with client.session.post(f"{client.url}/v1/chat/completions", json=body) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize("kind", CALLS)
async def test_chat_completions_say_that_they_have_no_form_for_it(kind: str) -> None:
    async with asking(only(reply(SEALED, item_of(kind)), "openai-responses")) as (client, upstream):
        status, answer = await chat(client)
        assert len(upstream.requests) == 1
    assert (status, answer["error"]["code"]) == (400, "unsupported_part")
    assert kind in answer["error"]["message"]


async def test_the_ai_sdk_and_streams_end_with_an_error() -> None:
    message = {"type": "message", "id": "m", "role": "assistant"}
    text = {**message, "content": [{"type": "output_text", "text": "Wait"}]}
    said = {"id": "q", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
    body = reply(text, item_of("shell_call"))
    async with asking(only(body, "openai-responses")) as (client, _):
        asked = {"id": "chat", "messages": [said]}
        shown = b""
        async with client.session.post(f"{client.url}/api/chat", json=asked) as answer:
            # After the error the body is cut.
            while b'"type":"error"' not in shown:
                shown = await answer.content.readline()
        url = f"{client.url}/v1/live/chat?format=ndjson&from=start"
        async with client.session.get(url) as answer:
            line = b""
            while b'"type":"failed"' not in line:
                line = await answer.content.readline()
    assert b"shell_call" in shown
    assert b'"code":"unsupported_part"' in line


def test_the_form_of_it_in_events() -> None:
    *_, found, end = replay(READERS["openai-responses"](), [reply(item_of("computer_call"))])
    (call,) = found["executed_tools"]
    assert (call["name"], call["id"], call["pending"]) == ("computer", "c1", True)
    assert (call["arguments"], call["item"]) == (
        '{"type":"click","x":1,"y":2,"button":"left"}',
        item_of("computer_call"),
    )
    assert (end["type"], end["reason"]) == ("finished", "tool")


async def test_what_the_provider_has_run_itself_fails_nowhere() -> None:
    """A hosted shell gives its output with the call."""
    output = {**CALLS["shell_call"][2], "id": "sho_1", "output": [{"stdout": "a"}]}
    body = reply(item_of("shell_call"), output)
    async with asking(only(body, "openai-responses")) as (client, _):
        status, answer = await chat(client)
        whole = await client.post("/v1/responses", {"model": "asked", "input": "Hi"})
    assert status == 200
    run = answer["choices"][0]["message"]["executed_tools"]
    assert [call["item"] for call in run] == [item_of("shell_call"), output]
    kinds = [item["type"] for item in whole["output"]]
    assert [kind for kind in kinds if kind != "reasoning"] == ["shell_call", "shell_call_output"]


@pytest.mark.parametrize("dialect", [Anthropic(), OpenAIChat()])
def test_no_other_provider_is_given_its_output(dialect: Any) -> None:
    output = CALLS["computer_call"][2]
    result = {"role": "tool", "tool_call_id": "c1", "content": "", "item": output}
    with pytest.raises(RequestError) as refused:
        dialect.call(Prompt((USER, result), "m"))
    assert refused.value.code == "unsupported_option"


@pytest.mark.parametrize("wrong", [{"tools": [CALLS["shell_call"][0]]}, {"input": [SCREEN]}])
async def test_an_upstream_of_another_form_refuses_it_by_name(wrong: dict[str, Any]) -> None:
    async with asking(only(b"", "openai-chat")) as (client, upstream):
        body = {"model": "asked", "input": "Hi", **wrong}
        async with client.session.post(f"{client.url}/v1/responses", json=body) as answer:
            error = (await answer.json())["error"]
        assert not upstream.requests
    assert (answer.status, error["code"]) == (400, "unsupported_option")


async def test_strict_clients_read_it() -> None:
    """The official client, which knows the shape of each of them."""
    openai = pytest.importorskip("openai")
    async with asking(only(reply(item_of("computer_call")), "openai-responses")) as (client, _):
        sdk = openai.AsyncOpenAI(
            base_url=f"{client.url}/v1", api_key="x", _strict_response_validation=True
        )
        answer = await sdk.responses.create(model="asked", input="Hi")
        await sdk.close()
    assert [item.type for item in answer.output if item.type != "reasoning"] == ["computer_call"]
