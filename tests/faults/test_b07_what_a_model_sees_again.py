"""Fault B7: what a model must see again was lost between one turn and the next.

Each provider's answer thinks and calls a tool; the client gives the result. What it thought must
stand in the next request as the provider wants it, whatever route the client has taken.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from hub.dialects.anthropic.reader import Anthropic
from hub.dialects.openai_chat import OpenAIChat
from hub.dialects.openai_responses.reader import OpenAIResponses
from hub.domain.conversation import Conversation
from hub.domain.events import Delta, Message, Started, ToolCall
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import own_messages, seal, unseal, woven
from tests.faults.replies import call, chat, finish, named, sse
from tests.faults.turns import (
    RESULT,
    ROUTES,
    USER,
    Provider,
    anthropic,
    asking,
    block,
    candidate,
    results,
    said_by_assistant,
    thinking,
    tool_use,
)
from tests.support.transcripts import READERS, replay

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

LOOK: Final = {"name": "look", "arguments": {"at": 1}}


def thought(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def lines(*held: Mapping[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in held)


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
    "mistral": Provider(
        "openai-chat",
        sse(
            chat({"content": [thought("Let me")]}),
            chat({"content": [thought(" look."), {"type": "text", "text": "It"}]}),
            chat({"content": " is"}),
            call("look", '{"at":1}', index=0, id="call_1"),
            finish("tool_calls"),
            "[DONE]",
        ),
        said_by_assistant("content"),
        [thought("Let me look."), {"type": "text", "text": "It is"}],
    ),
    "ollama": Provider(
        "ollama",
        lines(
            {"message": {"role": "assistant", "content": "", "thinking": "Let me"}},
            {"message": {"role": "assistant", "content": "It is", "thinking": " look."}},
            {"message": {"role": "assistant", "content": "", "tool_calls": [{"function": LOOK}]}},
            {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"},
        ),
        lambda body: [
            said_by_assistant(name)(body)
            for name in ("thinking", "content", "tool_calls", "reasoning_details")
        ],
        ["Let me look.", "It is", [{"function": LOOK}], None],
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


@pytest.mark.parametrize("dialect", ["openai-chat", "ollama"])
def test_thinking_comes_back_without_a_call_too(dialect: str) -> None:
    told = {"type": "reasoning.text", "text": "Hm.", "format": "thinking", "index": 0}
    for content in ("Hi", None, [{"type": "text", "text": "Hi"}]):
        answer = {"role": "assistant", "content": content, "reasoning_details": [told]}
        (sent,) = READERS[dialect]().call(Prompt((answer,), "m")).body["messages"]
        text = [{"type": "text", "text": "Hi"}] if content else []
        if dialect == "ollama":
            assert sent["thinking"] == "Hm."
        else:
            assert sent["content"] == [thought("Hm."), *text]


def test_thinking_between_words_comes_back_between_them() -> None:
    body = sse(
        chat({"content": "It is"}),
        chat({"content": [thought("Hm.")]}),
        chat({"content": "."}),
        finish(),
        "[DONE]",
    )
    conversation = Conversation()
    conversation.take(Started("g", "mistral"))
    for event in replay_of("openai-chat", body):
        conversation.take(event)
    (sent,) = OpenAIChat().call(Prompt(conversation.messages())).body["messages"]
    words = [{"type": "text", "text": text} for text in ("It is", ".")]
    assert sent["content"] == [words[0], thought("Hm."), words[1]]


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
