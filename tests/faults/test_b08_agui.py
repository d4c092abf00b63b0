"""Fault B8: what an answer held beside text was not told to AG-UI's clients, nor taken back."""

from __future__ import annotations

from typing import Any, Final

import pytest

from hub.domain.events import Delta, Event, Finished, Started, ToolCall, encode
from hub.domain.provider_fields import seal, unseal
from hub.domain.records import Record
from hub.protocols.agui.chunks import AGUIChunks
from hub.protocols.agui.messages import chat_messages, new_messages
from hub.protocols.conversation import messages as ui_messages
from tests.clients.chats import chats
from tests.clients.node import told
from tests.faults.test_b07_what_a_model_sees_again import PROVIDERS as THINKING
from tests.faults.test_b08_tools_of_providers import BACK, CUSTOM_CHAT, FOUND, handed_back
from tests.faults.test_b08_tools_of_providers import PROVIDERS as RUNNING
from tests.faults.turns import QUESTION, RESULT, Provider, asking

G: Final = "gen_1"
CUSTOM: Final = Provider("openai-chat", CUSTOM_CHAT, lambda body: handed_back("openai-chat", body),
                         BACK["openai-chat"])  # fmt: skip
# One of each form: thoughts beside calls, after them, in calls, and runs of tools.
ASKED: Final[dict[str, Provider]] = {
    **{name: THINKING[name] for name in ("anthropic", "gemini", "deepseek", "openai-responses")},
    **{f"{name} searching": held for name, held in RUNNING.items()},
    "custom": CUSTOM,
}


# The script of that client answers one call; these answers have two.
@pytest.mark.parametrize("name", [name for name in ASKED if name not in ("anthropic", "gemini")])
async def test_the_official_client_gives_it_back(name: str) -> None:
    """`HttpAgent` of ``@ag-ui/client``; its checks refuse events out of order."""
    provider = ASKED[name]
    async with asking(provider) as (client, upstream):
        runs = [{"message": QUESTION}, {"answer": RESULT}]
        given = {"url": f"{client.url}/api/agent", "headers": {}, "threadId": "t", "runs": runs}
        first, second = await told("agui.mjs", given)
        assert (first["error"], second["error"]) == (None, None)
        _, asked = upstream.requests
    assert provider.expected(asked.json) == provider.found


@pytest.mark.parametrize("name", ASKED)
async def test_tanstack_gives_it_back(name: str) -> None:
    provider = ASKED[name]
    async with asking(provider) as (client, upstream), chats() as clients:
        tools = {"look": RESULT, "run": RESULT}
        url = f"{client.url}/api/chat/talk"
        chat = await clients.open("talk", kind="tanstack", id="talk", sendUrl=url, tools=tools)
        await chat.call("send", QUESTION)
        while len(upstream.requests) < 2:
            state = await chat.until(errors=0)
        assert not state["errors"]
        asked = upstream.requests[1]
    assert provider.expected(asked.json) == provider.found


def chunks(*deltas: Delta) -> list[dict[str, Any]]:
    translation = AGUIChunks("chat")
    events: tuple[Event, ...] = (Started(G), *deltas, Finished(G))
    records = [Record(offset, encode(event), event) for offset, event in enumerate(events)]
    return [chunk for record in records for chunk in translation.add(record)]


def of_kind(shown: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [chunk for chunk in shown if chunk["type"] == kind]


def test_a_tool_that_the_provider_ran_is_a_call_with_its_result() -> None:
    run = {"name": "web_search", "id": "s1", "arguments": '{"query":"a"}', "index": 0}
    run |= {"output": FOUND["content"], "item": {}, "upstream": "claude"}
    shown = chunks(Delta(G, extra={"executed_tools": [run]}), Delta(G, "So"))
    assert [chunk["type"] for chunk in shown][2:-2] == [
        "TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "REASONING_ENCRYPTED_VALUE",
        "TOOL_CALL_RESULT", "TEXT_MESSAGE_CONTENT",
    ]  # fmt: skip
    start, _, end, sealed, result, _ = shown[2:-2]
    assert (start["toolCallName"], end["input"]) == ("web_search", {"query": "a"})
    assert (sealed["subtype"], sealed["entityId"]) == ("tool-call", "s1")
    assert unseal(sealed["encryptedValue"]) == {"executed_tools": [run]}
    assert result["toolCallId"] == "s1"
    assert "https://a.example" in result["content"]


def test_a_run_that_went_wrong_or_has_no_end() -> None:
    run = {"name": "code", "arguments": "", "index": 3}
    (failed,) = of_kind(
        chunks(Delta(G, extra={"executed_tools": [{**run, "error": True, "output": "no"}]})),
        "TOOL_CALL_RESULT",
    )
    assert (failed["state"], failed["content"], failed["toolCallId"]) == (
        "output-error",
        "no",
        "run_13",
    )
    assert not of_kind(chunks(Delta(G, extra={"executed_tools": [run]})), "TOOL_CALL_RESULT")
    assert not of_kind(
        chunks(Delta(G, extra={"executed_tools": [{**run, "pending": True}]})), "TOOL_CALL_START"
    )


def test_citations_and_media_are_custom_events() -> None:
    cited = [{"type": "url_citation", "url_citation": {"url": "https://a.example"}}]
    media = [{"media_type": "image/png", "data": "AAAA", "index": 0}]
    shown = chunks(Delta(G, extra={"annotations": cited}), Delta(G, extra={"media": media}))
    custom = [(chunk["name"], chunk["value"]) for chunk in of_kind(shown, "CUSTOM")]
    assert custom == [("annotations", cited), ("media", media)]


def test_reasoning_is_sealed_in_its_own_section() -> None:
    details = [{"type": "reasoning.encrypted", "data": "x"}]
    shown = chunks(
        Delta(G, reasoning="Hm"),
        Delta(G, extra={"reasoning_details": details}),
        Delta(G, tool=ToolCall(0, "c1", "look", "{}")),
        Delta(G, extra={"reasoning_details": details}),
    )
    values = of_kind(shown, "REASONING_ENCRYPTED_VALUE")
    assert [(one["subtype"], one["entityId"]) for one in values] == [
        ("message", f"{G}_0"),
        ("message", f"{G}_1"),
    ]
    assert unseal(values[0]["encryptedValue"]) == {"reasoning_details": details}
    assert unseal(values[1]["encryptedValue"])["extra_content"] == [{"id": "c1"}]
    kinds = [chunk["type"] for chunk in shown]
    assert kinds.count("REASONING_MESSAGE_START") == kinds.count("REASONING_MESSAGE_END") == 2


def test_what_others_have_encrypted_is_left_out() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": ""}, "encryptedValue": "theirs"}
    messages = (
        {"role": "reasoning", "id": "r", "content": "Hm", "encryptedValue": "theirs"},
        {"role": "assistant", "id": "a", "content": "Hi", "toolCalls": [call]},
        {"role": "tool", "id": "t", "toolCallId": "c", "content": "1"},
    )
    answer, result = chat_messages(messages)
    assert set(answer) == {"role", "content", "tool_calls"}
    assert answer["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert result["content"] == "1"


def test_the_result_of_such_a_tool_is_not_said_again() -> None:
    sealed = seal({"executed_tools": [{"name": "web_search", "id": "s1"}]})
    call = {"id": "s1", "function": {"name": "web_search"}, "encryptedValue": sealed}
    messages = (
        {"role": "assistant", "id": "a", "content": "So", "toolCalls": [call]},
        {"role": "tool", "id": "t", "toolCallId": "s1", "content": "[]"},
        {"role": "user", "id": "q", "content": "And?"},
    )
    assert [one.text for one in new_messages(messages)] == ["And?"]
    assert [one["role"] for one in chat_messages(messages)] == ["assistant", "user"]


def test_each_reply_of_a_message_of_tanstack_has_its_own_fields() -> None:
    def thought(name: str, **calls: Any) -> dict[str, Any]:
        sealed = seal({"reasoning_details": [{"data": name}], **calls})
        return {"type": "thinking", "content": "", "signature": sealed}

    def call(name: str) -> dict[str, Any]:
        return {"type": "tool-call", "id": name, "name": "f", "arguments": "{}", "output": 1}

    parts = [
        thought("a"),
        call("c1"),
        thought("b", extra_content=[{"id": "c1"}]),
        thought("c"),
        call("c2"),
    ]
    answers = ui_messages.chat_messages([{"role": "assistant", "parts": parts}])
    found = [
        [one["data"] for one in answer["reasoning_details"]]
        for answer in answers
        if answer["role"] == "assistant"
    ]
    assert found == [["a", "b"], ["c"]]
