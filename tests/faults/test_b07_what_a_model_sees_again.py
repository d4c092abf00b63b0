"""Fault B7: what a model must see again was lost between one turn and the next.

Each provider's answer thinks and calls a tool; the client gives the result. What it thought must
stand in the next request as the provider wants it, whatever route the client has taken.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import aiohttp
import pytest

from hub.dialects.anthropic.reader import Anthropic
from hub.dialects.openai_chat import OpenAIChat
from hub.dialects.openai_responses.reader import OpenAIResponses
from hub.domain.conversation import Conversation
from hub.domain.events import Delta, Message, Started, ToolCall
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import own_messages, seal, unseal, woven
from tests.faults.replies import call, chat, finish, named, sse
from tests.support.loopback_hub import hub_on_loopback
from tests.support.scripted_upstream import Scripted
from tests.support.transcripts import READERS, replay
from tests.support.upstream_answers import PATIENCE, Answer

QUESTION: Final = "What is it?"
RESULT: Final = "42"


class Provider(NamedTuple):
    """An answer that calls ``look``, and what must stand in the request that follows."""

    dialect: str
    body: bytes
    expected: Callable[[dict[str, Any]], Any]
    found: Any
    model: str = "m"


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def thinking(index: int, text: str, signature: str) -> list[dict[str, Any]]:
    return block(
        index,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": text[:3]},
        {"type": "thinking_delta", "thinking": text[3:]},
        {"type": "signature_delta", "signature": signature},
    )


def tool_use(index: int, key: str) -> list[dict[str, Any]]:
    return block(
        index,
        {"type": "tool_use", "id": key, "name": "look", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"at":1}'},
    )


def anthropic(*blocks: list[dict[str, Any]]) -> bytes:
    return named(
        {"type": "message_start", "message": {"id": "msg_1", "content": []}},
        *(event for events in blocks for event in events),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    )


# Thoughts before and between words and calls, as models do that think in between.
INTERLEAVED: Final = anthropic(
    thinking(0, "First 🤔", "sig-1"),
    block(1, {"type": "redacted_thinking", "data": "hidden"}),
    block(2, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Let me 🔎"}),
    thinking(3, "Then", "sig-2"),
    tool_use(4, "call_1"),
    # Models that show no thoughts send an empty one, signed.
    block(
        5, {"type": "thinking", "thinking": ""}, {"type": "signature_delta", "signature": "sig-3"}
    ),
    tool_use(6, "call_2"),
)
USED: Final = [
    {"type": "tool_use", "id": f"call_{n}", "name": "look", "input": {"at": 1}} for n in (1, 2)
]
BLOCKS: Final = [
    {"type": "thinking", "thinking": "First 🤔", "signature": "sig-1"},
    {"type": "redacted_thinking", "data": "hidden"},
    {"type": "text", "text": "Let me 🔎"},
    {"type": "thinking", "thinking": "Then", "signature": "sig-2"},
    USED[0],
    {"type": "thinking", "thinking": "", "signature": "sig-3"},
    USED[1],
]


def said_by_assistant(name: str) -> Callable[[dict[str, Any]], Any]:
    def find(body: dict[str, Any]) -> Any:
        (found,) = [one for one in body["messages"] if one["role"] == "assistant"]
        return found.get(name)

    return find


def candidate(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **more}]}


GEMINI: Final = sse(
    candidate({"text": "Hm.", "thought": True}),
    candidate({"text": "Let me"}),
    candidate({"text": " look.", "thoughtSignature": "sig-text"}),
    candidate(
        {"functionCall": {"name": "look", "args": {"at": 1}}, "thoughtSignature": "sig-call"},
        {"functionCall": {"name": "look", "args": {"at": 2}}},
        finishReason="STOP",
    ),
)
LOOKS: Final = [{"functionCall": {"name": "look", "args": {"at": n}}} for n in (1, 2)]

SEALED: Final = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Hm."}],
    "encrypted_content": "gAAAsealed",
}
CALLED: Final = {
    "type": "function_call",
    "call_id": "call_1",
    "name": "look",
    "arguments": '{"at":1}',
}
RESPONSES: Final = named(
    {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": {**SEALED, "summary": [], "encrypted_content": "gAAAearly"},
    },
    {
        "type": "response.reasoning_summary_text.delta",
        "output_index": 0,
        "summary_index": 0,
        "item_id": "rs_1",
        "delta": "Hm.",
    },
    {"type": "response.output_item.done", "output_index": 0, "item": SEALED},
    {"type": "response.output_item.done", "output_index": 1, "item": {"id": "fc_1", **CALLED}},
    {
        "type": "response.completed",
        "response": {"status": "completed", "output": [SEALED, {"id": "fc_1", **CALLED}]},
    },
)

DETAILS: Final = [
    {"type": "reasoning.text", "text": "Let me", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.text", "text": " look.", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.text", "signature": "sig", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "abc", "format": "x", "index": 1, "id": "call_1"},
]
GOOGLE: Final = {"google": {"thought_signature": "sig-call"}}

PROVIDERS: Final[Mapping[str, Provider]] = {
    "anthropic": Provider("anthropic", INTERLEAVED, said_by_assistant("content"), BLOCKS),
    "gemini": Provider(
        "gemini",
        GEMINI,
        lambda body: [one["parts"] for one in body["contents"] if one["role"] == "model"],
        [
            [
                {"text": "Let me look.", "thoughtSignature": "sig-text"},
                {**LOOKS[0], "thoughtSignature": "sig-call"},
                LOOKS[1],
            ]
        ],
        model="gemini-3-pro",
    ),
    "gemini through openai-chat": Provider(
        "openai-chat",
        sse(
            call("look", '{"at":1}', index=0, id="call_1", extra_content=GOOGLE),
            finish("tool_calls"),
            "[DONE]",
        ),
        lambda body: said_by_assistant("tool_calls")(body)[0]["extra_content"],
        GOOGLE,
    ),
    "deepseek": Provider(
        "openai-chat",
        sse(
            chat({"reasoning_content": "Let me"}),
            chat({"reasoning_content": " look."}),
            call("look", '{"at":1}', index=0, id="call_1"),
            finish("tool_calls"),
            "[DONE]",
        ),
        said_by_assistant("reasoning_content"),
        "Let me look.",
    ),
    "groq": Provider(
        "openai-chat",
        sse(
            chat({"reasoning": "Let me look."}),
            call("look", '{"at":1}', index=0, id="call_1"),
            finish("tool_calls"),
            "[DONE]",
        ),
        lambda body: [
            said_by_assistant(name)(body)
            for name in ("reasoning", "reasoning_content", "reasoning_details")
        ],
        ["Let me look.", None, None],
    ),
    "openrouter": Provider(
        "openai-chat",
        sse(
            *(chat({"reasoning_details": [held]}) for held in DETAILS),
            call("look", '{"at":1}', index=0, id="call_1"),
            finish("tool_calls"),
            "[DONE]",
        ),
        said_by_assistant("reasoning_details"),
        [{**DETAILS[0], "text": "Let me look.", "signature": "sig"}, DETAILS[3]],
    ),
    "openai-responses": Provider(
        "openai-responses", RESPONSES, lambda body: body["input"][1:3], [SEALED, CALLED]
    ),
}


class Client:
    """A client of the hub that asks, and gives the results of the calls it is asked for."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        async with self._session.post(self._url + path, json=body) as answer:
            assert answer.status in (200, 201), await answer.text()
            return await answer.json()

    async def streamed(self, path: str, body: Mapping[str, Any]) -> list[Any]:
        async with self._session.post(self._url + path, json=body) as answer:
            text = await answer.text()
            assert answer.status == 200, text
        data = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
        return [json.loads(held) for held in data if held != "[DONE]"]

    async def events(self, stream: str, last: int = 1) -> list[Any]:
        """The events of a stream up to the end of so many answers."""
        found: list[Any] = []
        url = f"{self._url}/v1/live/{stream}?format=ndjson&from=start"
        async with self._session.get(url) as answer, asyncio.timeout(PATIENCE):
            async for line in answer.content:
                found.append(json.loads(line))
                if sum(1 for held in found if held["type"] == "finished") == last:
                    break
        return found


def results(calls: list[Any]) -> list[dict[str, Any]]:
    return [{"role": "tool", "tool_call_id": each["id"], "content": RESULT} for each in calls]


USER: Final = {"role": "user", "content": QUESTION}


async def by_chat(client: Client) -> None:
    asked = {"model": "asked", "messages": [USER]}
    answer = await client.post("/v1/chat/completions", asked)
    message = answer["choices"][0]["message"]
    messages = [USER, message, *results(message["tool_calls"])]
    await client.post("/v1/chat/completions", {**asked, "messages": messages})


async def by_chat_streamed(client: Client) -> None:
    """As clients join what comes: texts are added up, lists go on, calls have an index."""
    asked = {"model": "asked", "messages": [USER], "stream": True}
    message: dict[str, Any] = {}
    calls: dict[int, dict[str, Any]] = {}
    for chunk in await client.streamed("/v1/chat/completions", asked):
        for name, held in chunk["choices"][0]["delta"].items():
            if name == "tool_calls":
                for piece in held:
                    made = calls.setdefault(piece["index"], {"function": {"arguments": ""}})
                    made["function"]["arguments"] += piece["function"].pop("arguments", "")
                    made["function"] |= piece.pop("function")
                    made |= piece
            elif held is not None:
                message[name] = message[name] + held if name in message else held
    message["tool_calls"] = list(calls.values())
    messages = [USER, message, *results(message["tool_calls"])]
    await client.streamed("/v1/chat/completions", {**asked, "messages": messages})


async def by_responses(client: Client) -> None:
    asked: dict[str, Any] = {"model": "asked", "input": [USER], "store": False}
    answer = await client.post("/v1/responses", asked)
    outputs = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": RESULT}
        for item in answer["output"]
        if item["type"] == "function_call"
    ]
    await client.post("/v1/responses", {**asked, "input": [USER, *answer["output"], *outputs]})


async def by_previous_response(client: Client) -> None:
    answer = await client.post("/v1/responses", {"model": "asked", "input": QUESTION})
    outputs = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": RESULT}
        for item in answer["output"]
        if item["type"] == "function_call"
    ]
    more = {"model": "asked", "input": outputs, "previous_response_id": answer["id"]}
    await client.post("/v1/responses", more)


async def by_ai_sdk(client: Client) -> None:
    """As `useChat` keeps a message: the metadata of the last chunk of a part is the part's."""
    said = {"id": "q1", "role": "user", "parts": [{"type": "text", "text": QUESTION}]}
    asked = {"id": "chat", "messages": [said], "trigger": "submit-message"}
    parts: list[dict[str, Any]] = []
    open_parts: dict[str, dict[str, Any]] = {}
    for chunk in await client.streamed("/api/chat", asked):
        kind, _, stage = chunk["type"].rpartition("-")
        metadata = chunk.get("providerMetadata")
        if chunk["type"] == "start-step":
            parts.append({"type": "step-start"})
        elif kind in ("text", "reasoning"):
            if stage == "start":
                part = open_parts[chunk["id"]] = {"type": kind, "text": ""}
                parts.append(part)
            part = open_parts[chunk["id"]]
            part["text"] += chunk.get("delta", "")
            if metadata:
                part["providerMetadata"] = metadata
        elif chunk["type"] == "tool-input-available":
            part = {
                "type": f"tool-{chunk['toolName']}",
                "toolCallId": chunk["toolCallId"],
                "state": "output-available",
                "input": chunk["input"],
                "output": RESULT,
            }
            parts.append({**part, "callProviderMetadata": metadata} if metadata else part)
    answer = {"id": "a1", "role": "assistant", "parts": parts}
    await client.streamed("/api/chat", {**asked, "messages": [said, answer]})


async def by_stream(client: Client) -> None:
    """Nobody gives anything back: the stream holds all that was said."""
    asked = {"stream": "talk", "prompt": QUESTION}
    await client.post("/v1/generations", asked)
    events = await client.events("talk")
    generation = next(event["generation"] for event in events if event["type"] == "started")
    calls = {event["tool"]["index"]: event["tool"] for event in events[::-1] if "tool" in event}
    for index, tool in calls.items():
        made_up = f"call_{generation.removeprefix('gen_')[:24]}{index}"
        result = {"type": "message", "role": "tool", "text": RESULT}
        url = f"{client._url}/v1/stream/talk"
        event = {**result, "tool_call_id": tool.get("id") or made_up}
        async with client._session.post(url, json=event) as answer:
            assert answer.status in (200, 204), await answer.text()
    await client.post("/v1/generations", {**asked, "prompt": "And?"})
    await client.events("talk", last=2)


ROUTES: Final[Mapping[str, Callable[[Client], Awaitable[None]]]] = {
    "chat": by_chat,
    "chat streamed": by_chat_streamed,
    "responses": by_responses,
    "previous response": by_previous_response,
    "ai sdk": by_ai_sdk,
    "stream": by_stream,
}


@asynccontextmanager
async def asking(provider: Provider) -> AsyncIterator[tuple[Client, Scripted]]:
    async with Scripted() as upstream:
        upstream.answers(*[Answer(provider.body)] * 2)
        table = {"dialect": provider.dialect, "url": upstream.url, "model": provider.model}
        async with (
            hub_on_loopback(upstreams={"asked": table}, default_upstream="asked") as hub,
            aiohttp.ClientSession() as session,
        ):
            yield Client(session, f"http://127.0.0.1:{hub.port}"), upstream


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_it_comes_back_to_its_provider(provider: str, route: str) -> None:
    asked = PROVIDERS[provider]
    async with asking(asked) as (client, upstream):
        await ROUTES[route](client)
        first, second = upstream.requests
    assert "signature" not in first.body.decode()
    assert asked.expected(second.json) == asked.found
    assert "streamhub" not in second.body.decode()


def test_no_other_upstream_is_given_it() -> None:
    """Neither another of the same dialect, nor one that would refuse what it does not know."""
    messages: list[Mapping[str, Any]] = [USER]
    for upstream in ("one", "two"):
        told = {"type": "reasoning.text", "text": upstream, "signature": "s", "index": 0}
        told |= {"format": "anthropic-claude-v1", "upstream": upstream}
        extra = {**GOOGLE, "streamhub": {"upstream": upstream}}
        function = {"name": "look", "arguments": "{}"}
        calls = [{"id": "c", "type": "function", "function": function, "extra_content": extra}]
        answer = {"role": "assistant", "content": "Hi", "reasoning_content": upstream}
        messages += [{**answer, "tool_calls": calls, "reasoning_details": [told]}, *results(calls)]
    body = Anthropic().call(Prompt(tuple(own_messages(messages, "two")))).body
    thoughts = [one for said in body["messages"] for one in said["content"]]
    assert [one["thinking"] for one in thoughts if one["type"] == "thinking"] == ["two"]
    sent = OpenAIChat().call(Prompt(tuple(own_messages(messages, "three")))).body["messages"]
    assert {key for message in sent for key in message} == {
        "role",
        "content",
        "tool_calls",
        "tool_call_id",
    }
    assert all("extra_content" not in call for m in sent for call in m.get("tool_calls", ()))


def test_a_call_that_was_not_answered_takes_what_stood_behind_it_along() -> None:
    conversation = Conversation()
    conversation.take(Started("g", "claude"))
    for event in replay_of("anthropic", INTERLEAVED):
        conversation.take(event)
    conversation.take(Message("tool", RESULT, extra={"tool_call_id": "call_2"}))
    answer, _ = conversation.messages()
    assert [one.get("signature") for one in answer["reasoning_details"]] == ["sig-1", None, "sig-2"]


def replay_of(dialect: str, body: bytes) -> list[Delta]:
    """The deltas of a reply as they stand in a stream."""
    found = []
    for held in replay(READERS[dialect](), [body]):
        if held.pop("type") == "delta":
            tool = held.pop("tool", None)
            told = {name: held.pop(name, "") for name in ("text", "reasoning")}
            found.append(Delta("g", **told, tool=tool and ToolCall(**tool), extra=held))
    return found


def test_a_budget_for_thoughts_goes_with_a_result_if_the_thoughts_do() -> None:
    """Without them Anthropic refuses it."""
    call_ = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    answer: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [call_]}
    options = {"reasoning_effort": "low", "max_tokens": 9_999}
    bare = Anthropic().call(Prompt((USER, answer, *results([call_])), "claude-sonnet-4", options))
    assert "thinking" not in bare.body
    thought = {"type": "reasoning.text", "text": "Hm", "signature": "s"}
    answer["reasoning_details"] = [{**thought, "format": "anthropic-claude-v1"}]
    full = Anthropic().call(Prompt((USER, answer, *results([call_])), "claude-sonnet-4", options))
    assert full.body["thinking"] == {"type": "enabled", "budget_tokens": 2_048}


@pytest.mark.parametrize(
    ("model", "options", "asked"),
    [
        ("gpt-5-mini", {}, True),
        ("o4-mini", {}, True),
        ("gpt-4o", {}, False),
        ("gpt-5-chat-latest", {}, False),
        ("deployment", {}, False),
        ("deployment", {"reasoning_effort": "low"}, True),
        ("deployment", {"reasoning": {"summary": "auto"}}, True),
        ("gpt-5.1", {"reasoning_effort": "none"}, False),
        ("gpt-5", {"store": True}, False),
    ],
)
def test_models_that_reason_are_asked_for_it(
    model: str, options: dict[str, Any], asked: bool
) -> None:
    body = OpenAIResponses().call(Prompt((USER,), model, options)).body
    assert ("reasoning.encrypted_content" in body.get("include", ())) is asked


@pytest.mark.parametrize("text", ["", "x", "hub1.", "hub1.!!", "hub1.W10=", None, 3, "hub1.e30"])
def test_what_others_seal_says_nothing(text: Any) -> None:
    assert unseal(text) == {}


def test_a_seal_is_opened() -> None:
    fields = {"reasoning_details": [{"type": "reasoning.text", "text": "ü 🤔"}]}
    assert unseal(seal(fields)) == fields


def test_places_beyond_an_answer_are_at_its_end() -> None:
    """A client may have shortened it, or made the places up."""
    far: list[dict[str, Any]] = [{"at": {"text": 99, "calls": 99}}, {"at": {"text": -1}}, {"at": 3}]
    assert list(woven("Hi", 1, far)) == ["Hi", 0, *far]
    assert list(woven("Hi", 1, [])) == ["Hi", 0]
