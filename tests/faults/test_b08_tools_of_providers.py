"""Fault B8: calls that a provider ran itself were dropped, and custom tools became functions."""

from __future__ import annotations

from typing import Any, Final

import pytest

from hub.dialects.anthropic.reader import Anthropic
from hub.dialects.gemini.reader import Gemini
from hub.dialects.openai_responses.reader import OpenAIResponses
from hub.domain.errors import RequestError
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import own_messages
from hub.protocols.conversation.messages import chat_messages
from tests.faults.replies import chat, finish, named, sse
from tests.faults.turns import (
    RESULT,
    ROUTES,
    USER,
    Provider,
    anthropic,
    asking,
    block,
    candidate,
    said_by_assistant,
    thinking,
    tool_use,
)
from tests.support.transcripts import READERS, replay

SEARCH: Final = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search"}
FOUND: Final = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [
        {"type": "web_search_result", "url": "https://a.example", "encrypted_content": "x"}
    ],
}
SEARCHED: Final = anthropic(
    thinking(0, "First", "sig-1"),
    block(
        1, {**SEARCH, "input": {}}, {"type": "input_json_delta", "partial_json": '{"query":"a"}'}
    ),
    block(2, FOUND),
    thinking(3, "Then", "sig-2"),
    block(4, {"type": "text", "text": ""}, {"type": "text_delta", "text": "So"}),
    tool_use(5, "call_1"),
)
ORDERED: Final = [
    {"type": "thinking", "thinking": "First", "signature": "sig-1"},
    {**SEARCH, "input": {"query": "a"}},
    FOUND,
    {"type": "thinking", "thinking": "Then", "signature": "sig-2"},
    {"type": "text", "text": "So"},
    {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": 1}},
]

CODE: Final = {"executableCode": {"language": "PYTHON", "code": "1+1"}, "thoughtSignature": "s"}
RAN: Final = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}
LOOK: Final = {"functionCall": {"name": "look", "args": {}}, "thoughtSignature": "sig"}

WEB: Final = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "a"},
}
CALLED: Final = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"}
PROVIDERS: Final = {
    "anthropic": Provider("anthropic", SEARCHED, said_by_assistant("content"), ORDERED),
    "gemini": Provider(
        "gemini",
        sse(candidate({"text": "Let me"}, CODE), candidate(RAN, LOOK, finishReason="STOP")),
        lambda body: next(one["parts"] for one in body["contents"] if one["role"] == "model"),
        [{"text": "Let me"}, CODE, RAN, LOOK],
    ),
    "openai-responses": Provider(
        "openai-responses",
        named(
            {"type": "response.output_item.done", "output_index": 0, "item": WEB},
            {"type": "response.output_item.done", "output_index": 1, "item": CALLED},
            {
                "type": "response.completed",
                "response": {"status": "completed", "output": [WEB, CALLED]},
            },
        ),
        lambda body: body["input"][1:3],
        [WEB, CALLED],
    ),
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_what_was_run_comes_back_to_its_provider(provider: str, route: str) -> None:
    asked = PROVIDERS[provider]
    async with asking(asked) as (client, upstream):
        await ROUTES[route](client)
        _, second = upstream.requests
    assert asked.expected(second.json) == asked.found


def run(dialect: str, body: bytes) -> list[Any]:
    events = replay(READERS[dialect](), [body])
    assert events == replay(READERS[dialect](), (body[at : at + 1] for at in range(len(body))))
    return [one for event in events for one in event.get("executed_tools", ())]


def test_the_form_of_it() -> None:
    (found,) = run("anthropic", SEARCHED)
    assert (found["name"], found["id"]) == ("web_search", "srvtoolu_1")
    assert (found["arguments"], found["output"]) == ('{"query":"a"}', FOUND["content"])
    (found,) = run("gemini", PROVIDERS["gemini"].body)
    assert (found["name"], found["output"]) == ("code_execution", "2")
    assert found["arguments"] == '{"language":"PYTHON","code":"1+1"}'
    (found,) = run("openai-responses", PROVIDERS["openai-responses"].body)
    assert found["arguments"] == '{"type":"search","query":"a"}'


def test_what_went_wrong() -> None:
    error = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    body = anthropic(
        block(0, {**SEARCH, "input": {"query": "a"}}), block(1, {**FOUND, "content": error})
    )
    (found,) = run("anthropic", body)
    assert (found["error"], found["output"]) == (True, error)
    # Without a result Anthropic goes on with it on the next turn.
    (found,) = run("anthropic", anthropic(block(0, {**SEARCH, "input": {"query": "a"}})))
    assert "output" not in found
    told = {"role": "assistant", "content": "Wait", "executed_tools": [found]}
    body_of = Anthropic().call(Prompt((USER, told))).body
    assert {**SEARCH, "input": {"query": "a"}} in body_of["messages"][1]["content"]


def test_groq_tells_a_run_in_several_pieces() -> None:
    begun = {"index": 0, "type": "search", "arguments": '{"query":"a"}'}
    done = {"index": 0, "type": "search", "output": "It is.", "search_results": {"results": []}}
    body = sse(
        chat({"executed_tools": [begun]}),
        chat({"executed_tools": [done]}),
        chat({"content": "So"}),
        finish(),
        "[DONE]",
    )
    (found,) = run("openai-chat", body)
    assert (found["name"], found["arguments"], found["output"]) == (
        "search",
        '{"query":"a"}',
        "It is.",
    )


def only(body: bytes, dialect: str) -> Provider:
    return Provider(dialect, body, dict, None)


async def test_how_responses_show_it() -> None:
    async with asking(only(SEARCHED, "anthropic")) as (client, _):
        answer = await client.post("/v1/responses", {"model": "asked", "input": "Hi"})
    kinds = [item["type"] for item in answer["output"]]
    assert kinds.count("web_search_call") == 1
    (item,) = [item for item in answer["output"] if item["type"] == "web_search_call"]
    assert item["action"] == {"type": "search", "query": "a"}
    assert item["status"] == "completed"
    async with asking(only(PROVIDERS["gemini"].body, "gemini")) as (client, _):
        answer = await client.post("/v1/responses", {"model": "asked", "input": "Hi"})
    (item,) = [item for item in answer["output"] if item["type"] == "code_interpreter_call"]
    assert (item["code"], item["outputs"]) == ("1+1", [{"type": "logs", "logs": "2"}])


async def test_how_the_ai_sdk_shows_it() -> None:
    said = {"id": "q", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
    async with asking(only(SEARCHED, "anthropic")) as (client, _):
        chunks = await client.streamed("/api/chat", {"id": "chat", "messages": [said]})
    asked, ran = [chunk for chunk in chunks if chunk.get("providerExecuted")]
    assert (asked["type"], asked["toolName"]) == ("tool-input-available", "web_search")
    assert asked["input"] == {"query": "a"}
    assert (ran["type"], ran["output"]) == ("tool-output-available", FOUND["content"])
    assert ran["toolCallId"] == asked["toolCallId"] == "srvtoolu_1"


def test_no_other_provider_is_told_of_it() -> None:
    (found,) = run("anthropic", SEARCHED)
    message = {"role": "assistant", "content": "So", "executed_tools": [{**found, "upstream": "a"}]}
    prompt = Prompt(tuple(own_messages([USER, message], "b")), "m")
    assert Gemini().call(prompt).body["contents"][1]["parts"] == [{"text": "So"}]
    assert OpenAIResponses().call(prompt).body["input"][1]["content"] == "So"


def test_tools_that_a_provider_runs_are_asked_for_in_its_own_form() -> None:
    function = {"type": "function", "function": {"name": "f"}}
    search: dict[str, Any] = {"type": "web_search_20250305", "name": "web_search"}
    body = Anthropic().call(Prompt((USER,), "m", {"tools": [function, search]})).body
    assert [tool["name"] for tool in body["tools"]] == ["f", "web_search"]
    google: dict[str, Any] = {"google_search": {}}
    body = Gemini().call(Prompt((USER,), "m", {"tools": [google, function]})).body
    assert body["tools"] == [{"functionDeclarations": [{"name": "f"}]}, google]
    for dialect in (Anthropic(), Gemini()):
        with pytest.raises(RequestError, match='cannot ask for "tools": a tool must be a function'):
            dialect.call(Prompt((USER,), "m", {"tools": [{"type": "web_search"}]}))


def test_only_the_allowed_of_them_are_offered() -> None:
    function = {"type": "function", "function": {"name": "f"}}
    search: dict[str, Any] = {"type": "web_search_20250305", "name": "web_search"}
    google: dict[str, Any] = {"google_search": {}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [function]}}
    for dialect, tools in ((Anthropic(), [function, search]), (Gemini(), [google, function])):
        body = dialect.call(Prompt((USER,), "m", {"tools": tools, "tool_choice": allowed})).body
        (offered,) = body["tools"]
        assert offered == {"functionDeclarations": [{"name": "f"}]} or offered["name"] == "f"
    both = [{"type": "function", "name": "f"}, {"type": "web_search", "name": "web_search"}]
    flat = {"type": "allowed_tools", "mode": "auto", "tools": both}
    options: dict[str, Any] = {"tools": [function, search], "tool_choice": flat}
    body = Anthropic().call(Prompt((USER,), "m", options)).body
    assert [tool["name"] for tool in body["tools"]] == ["f", "web_search"]


def test_one_function_can_be_chosen_beside_them() -> None:
    function = {"type": "function", "function": {"name": "f"}}
    search = {"type": "web_search_20250305", "name": "web_search"}
    options: dict[str, Any] = {"tools": [search, function], "tool_choice": function}
    body = Anthropic().call(Prompt((USER,), "m", options)).body
    assert body["tool_choice"] == {"type": "tool", "name": "f"}
    options = {**options, "tools": [{"google_search": {}}, function]}
    body = Gemini().call(Prompt((USER,), "m", options)).body
    assert body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == ["f"]


# Custom tools

TOOL: Final[dict[str, Any]] = {
    "type": "custom",
    "custom": {"name": "run", "description": "Runs code."},
}
WORDS: Final = "print('hi')"
CUSTOM_CHAT: Final = sse(
    chat(
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "c1",
                    "type": "custom",
                    "custom": {"name": "run", "input": "pri"},
                }
            ]
        }
    ),
    chat({"tool_calls": [{"index": 0, "custom": {"input": WORDS[3:]}}]}),
    finish("tool_calls"),
    "[DONE]",
)
CUSTOM_ITEM: Final = {
    "type": "custom_tool_call",
    "id": "ctc_1",
    "call_id": "c1",
    "name": "run",
    "input": WORDS,
}
CUSTOM_RESPONSES: Final = named(
    {"type": "response.output_item.added", "output_index": 0, "item": {**CUSTOM_ITEM, "input": ""}},
    {
        "type": "response.custom_tool_call_input.delta",
        "output_index": 0,
        "item_id": "ctc_1",
        "delta": WORDS,
    },
    {"type": "response.output_item.done", "output_index": 0, "item": CUSTOM_ITEM},
    {"type": "response.completed", "response": {"status": "completed", "output": [CUSTOM_ITEM]}},
)
UPSTREAMS: Final = [("openai-chat", CUSTOM_CHAT), ("openai-responses", CUSTOM_RESPONSES)]
CALL: Final = {"id": "c1", "type": "custom", "custom": {"name": "run", "input": WORDS}}


def handed_back(dialect: str, body: dict[str, Any]) -> Any:
    """The call and its result as they stand in the request that follows."""
    if dialect == "openai-chat":
        return [
            message.get("tool_calls") or message["content"] for message in body["messages"][1:3]
        ]
    return [
        {name: held for name, held in item.items() if name != "id"} for item in body["input"][1:3]
    ]


BACK: Final = {
    "openai-chat": [[CALL], RESULT],
    "openai-responses": [
        {"type": "custom_tool_call", "call_id": "c1", "name": "run", "input": WORDS},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": RESULT},
    ],
}


@pytest.mark.parametrize(("dialect", "body"), UPSTREAMS)
async def test_custom_calls_stay_custom_in_chat(dialect: str, body: bytes) -> None:
    async with asking(only(body, dialect)) as (client, upstream):
        asked = {"model": "asked", "messages": [USER], "tools": [TOOL]}
        answer = await client.post("/v1/chat/completions", asked)
        message = answer["choices"][0]["message"]
        assert message["tool_calls"] == [CALL]
        result = {"role": "tool", "tool_call_id": "c1", "content": RESULT}
        more = {**asked, "messages": [USER, message, result], "stream": True}
        chunks = await client.streamed("/v1/chat/completions", more)
        first, second = (request.json for request in upstream.requests)
    expected = TOOL if dialect == "openai-chat" else {"type": "custom", **TOOL["custom"]}
    assert first["tools"] == [expected]
    assert handed_back(dialect, second) == BACK[dialect]
    pieces = [p for c in chunks for p in c["choices"][0]["delta"].get("tool_calls", ())]
    assert (pieces[0]["id"], pieces[0]["type"]) == ("c1", "custom")
    assert "".join(piece["custom"]["input"] for piece in pieces) == WORDS


@pytest.mark.parametrize(("dialect", "body"), UPSTREAMS)
async def test_custom_calls_stay_custom_in_responses(dialect: str, body: bytes) -> None:
    async with asking(only(body, dialect)) as (client, upstream):
        tool = {"type": "custom", "name": "run", "description": "Runs code."}
        asked: dict[str, Any] = {"model": "asked", "input": [USER], "tools": [tool], "store": False}
        answer = await client.post("/v1/responses", asked)
        (item,) = answer["output"]
        assert {name: item[name] for name in ("type", "call_id", "name", "input")} == {
            name: CUSTOM_ITEM[name] for name in ("type", "call_id", "name", "input")
        }
        result = {"type": "custom_tool_call_output", "call_id": "c1", "output": RESULT}
        more = {**asked, "input": [USER, item, result], "stream": True}
        events = await client.streamed("/v1/responses", more)
        _, second = (request.json for request in upstream.requests)
    assert handed_back(dialect, second) == BACK[dialect]
    deltas = [e["delta"] for e in events if e["type"] == "response.custom_tool_call_input.delta"]
    assert "".join(deltas) == WORDS
    (done,) = [e for e in events if e["type"] == "response.custom_tool_call_input.done"]
    assert done["input"] == WORDS


@pytest.mark.parametrize(("dialect", "body"), UPSTREAMS)
async def test_custom_calls_of_a_stored_response_are_answered(dialect: str, body: bytes) -> None:
    async with asking(only(body, dialect)) as (client, upstream):
        tool = {"type": "custom", "name": "run", "description": "Runs code."}
        asked: dict[str, Any] = {"model": "asked", "input": [USER], "tools": [tool]}
        answer = await client.post("/v1/responses", asked)
        result = {"type": "custom_tool_call_output", "call_id": "c1", "output": RESULT}
        more = {**asked, "input": [result], "previous_response_id": answer["id"]}
        await client.post("/v1/responses", more)
        _, second = (request.json for request in upstream.requests)
    assert handed_back(dialect, second) == BACK[dialect]


@pytest.mark.parametrize(("dialect", "body"), UPSTREAMS)
async def test_custom_calls_of_a_stream_are_answered(dialect: str, body: bytes) -> None:
    async with asking(only(body, dialect)) as (client, upstream):
        await ROUTES["stream"](client)
        _, second = (request.json for request in upstream.requests)
    assert handed_back(dialect, second) == BACK[dialect]


async def test_custom_calls_are_text_to_the_ai_sdk() -> None:
    said = {"id": "q", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
    async with asking(only(CUSTOM_CHAT, "openai-chat")) as (client, _):
        chunks = await client.streamed("/api/chat", {"id": "chat", "messages": [said]})
    (ready,) = [chunk for chunk in chunks if chunk["type"] == "tool-input-available"]
    assert ready["input"] == WORDS


@pytest.mark.parametrize(("dialect", "body"), UPSTREAMS)
async def test_custom_calls_come_back_custom_from_the_ai_sdk(dialect: str, body: bytes) -> None:
    async with asking(only(body, dialect)) as (client, upstream):
        await ROUTES["ai sdk"](client)
        _, second = (request.json for request in upstream.requests)
    assert handed_back(dialect, second) == BACK[dialect]


@pytest.mark.parametrize("words", ['{"at":1}', "3", "", "no JSON"])
def test_the_text_of_a_custom_call_is_not_read_as_json(words: str) -> None:
    part: dict[str, Any] = {"type": "tool-run", "toolCallId": "c1", "input": words}
    part["state"] = "output-available"
    part |= {"output": RESULT, "callProviderMetadata": {"streamhub": {"custom": True}}}
    answer, result = chat_messages([{"role": "assistant", "parts": [part]}])
    (call,) = answer["tool_calls"]
    assert call == {"id": "c1", "type": "custom", "custom": {"name": "run", "input": words}}
    assert result["content"] == RESULT


def test_what_is_only_marked_custom_stays_a_function() -> None:
    part: dict[str, Any] = {"type": "tool-run", "toolCallId": "c1", "input": {"a": 1}}
    part["state"] = "output-available"
    part |= {"output": RESULT, "callProviderMetadata": {"streamhub": {"custom": True}}}
    answer, _ = chat_messages([{"role": "assistant", "parts": [part]}])
    assert answer["tool_calls"][0]["function"] == {"name": "run", "arguments": '{"a":1}'}


def test_custom_tools_can_be_among_the_allowed() -> None:
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}}
    options = {"tools": [TOOL], "tool_choice": allowed}
    body = OpenAIResponses().call(Prompt((USER,), "m", options)).body
    assert body["tool_choice"]["tools"] == [{"type": "custom", "name": "run"}]


@pytest.mark.parametrize("dialect", [Anthropic(), Gemini()])
def test_who_has_no_custom_tools_refuses_them_by_name(dialect: Any) -> None:
    with pytest.raises(RequestError, match="tools"):
        dialect.call(Prompt((USER,), "m", {"tools": [TOOL]}))
    answer = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    with pytest.raises(RequestError, match="a custom tool call"):
        dialect.call(Prompt((USER, answer), "m"))
