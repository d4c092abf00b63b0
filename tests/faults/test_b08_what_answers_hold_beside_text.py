"""Fault B8: what providers say beside the text was accepted, paid for and dropped in silence.

Annotations, logprobs, ``service_tier``, ``system_fingerprint`` and what is counted in detail stand
in the events in one form, and in the answers of each interface that has a place for them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import pytest

from hub.dialects.cohere import Cohere
from hub.dialects.gemini.reader import Gemini
from hub.dialects.ollama import Ollama
from hub.dialects.openai_responses.reader import OpenAIResponses
from hub.dialects.reply.token_counts import counted
from hub.domain.annotations import flat, logprobs_of
from hub.domain.errors import RequestError
from hub.domain.prompt import Prompt
from tests.faults.replies import chat, finish, named, sse, usage_of
from tests.support.loopback_hub import hub_on_loopback
from tests.support.patience import PATIENCE
from tests.support.scripted_upstream import Scripted
from tests.support.transcripts import READERS, replay
from tests.support.upstream_answers import Answer

USER: Final = {"role": "user", "content": "Hi"}


def cited(dialect: str, body: bytes) -> list[Any]:
    """The annotations of a reply, the same however it is cut."""
    whole = replay(READERS[dialect](), [body])
    assert whole == replay(READERS[dialect](), (body[at : at + 1] for at in range(len(body))))
    assert whole[-1]["type"] == "finished"
    return [one for event in whole for one in event.get("annotations", ())]


def page(url: str, **fields: Any) -> dict[str, Any]:
    return {"type": "url_citation", "url_citation": {"url": url, **fields}}


# Annotations


def test_openai_chat() -> None:
    held = page("https://a.example", title="A", start_index=0, end_index=2)
    body = sse(chat({"content": "Hi"}), chat({"annotations": [held]}), finish(), "[DONE]")
    assert cited("openai-chat", body) == [held]
    message = {"role": "assistant", "content": "Hi", "annotations": [held]}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = {"object": "chat.completion", "choices": [choice]}
    assert cited("openai-chat", json.dumps(whole).encode()) == [held]
    # A server that says all of it once more.
    again = sse(chat({"content": "Hi", "annotations": [held]}), finish(), whole, "[DONE]")
    assert cited("openai-chat", again) == [held]


@pytest.mark.parametrize(
    "beside",
    [
        {"citations": ["https://a.example", "https://b.example"]},
        {
            "citations": ["https://a.example"],
            "search_results": [{"url": "https://a.example"}, {"url": "https://b.example"}],
        },
    ],
)
def test_perplexity_which_lists_its_pages_in_every_chunk(beside: dict[str, Any]) -> None:
    body = sse({**chat({"content": "Hi [1]"}), **beside}, {**finish(), **beside}, "[DONE]")
    assert cited("openai-chat", body) == [page("https://a.example"), page("https://b.example")]


def test_responses() -> None:
    held: dict[str, Any] = {"type": "url_citation", "url": "https://a.example", "title": "A"}
    held |= {"start_index": 0, "end_index": 2}
    file = {"type": "file_citation", "file_id": "f", "filename": "a.txt", "index": 1}
    at = {"output_index": 0, "content_index": 0, "item_id": "m"}
    part = {"type": "output_text", "text": "Hi", "annotations": [held, file]}
    item = {"id": "m", "type": "message", "role": "assistant", "content": [part]}
    body = named(
        {"type": "response.output_text.delta", **at, "delta": "Hi"},
        {"type": "response.output_text.annotation.added", **at, "annotation": held},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"status": "completed", "output": [item]}},
    )
    nested = {name: value for name, value in held.items() if name != "type"}
    assert cited("openai-responses", body) == [
        {"type": "url_citation", "url_citation": nested},
        {
            "type": "file_citation",
            "file_citation": {"file_id": "f", "filename": "a.txt", "index": 1},
        },
    ]


def text_block(index: int, text: str, *citations: dict[str, Any]) -> list[dict[str, Any]]:
    delta = {"type": "content_block_delta", "index": index}
    return [
        {
            "type": "content_block_start",
            "index": index,
            "content_block": {"type": "text", "text": ""},
        },
        {**delta, "delta": {"type": "text_delta", "text": text}},
        *({**delta, "delta": {"type": "citations_delta", "citation": one}} for one in citations),
        {"type": "content_block_stop", "index": index},
    ]


def test_anthropic() -> None:
    web = {"type": "web_search_result_location", "url": "https://a.example", "title": "A"}
    web |= {"cited_text": "It is.", "encrypted_index": "secret"}
    document = {"type": "page_location", "document_index": 1, "document_title": "B"}
    document |= {"cited_text": "So.", "start_page_number": 3, "end_page_number": 4}
    body = named(
        {"type": "message_start", "message": {"id": "m", "content": []}},
        *text_block(0, "Yes 🤔 "),
        *text_block(1, "it is", web),
        *text_block(2, ", so", document),
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    )
    location = {"type": "page_location", "start_page_number": 3, "end_page_number": 4}
    assert cited("anthropic", body) == [
        page("https://a.example", title="A", content="It is.", start_index=6, end_index=11),
        {
            "type": "file_citation",
            "file_citation": {
                "filename": "B",
                "index": 1,
                "content": "So.",
                "location": location,
                "start_index": 11,
                "end_index": 15,
            },
        },
    ]


def test_gemini_counts_bytes_and_says_it_again_in_every_chunk() -> None:
    def said(text: str, **more: Any) -> dict[str, Any]:
        return {"candidates": [{"content": {"parts": [{"text": text}]}, **more}]}

    chunks = [{"web": {"uri": f"https://{name}.example", "title": name}} for name in "abc"]
    segment: dict[str, Any] = {"startIndex": 5, "endIndex": 10, "text": "caf"}
    support = {"segment": segment, "groundingChunkIndices": [0, 1, 9]}
    grounding = {"groundingChunks": chunks, "groundingSupports": [support]}
    recited = {"citations": [{"uri": "https://d.example", "startIndex": 0, "endIndex": 4}]}
    body = sse(
        said("Ü "),
        said("x café", groundingMetadata=grounding),
        said(".", groundingMetadata=grounding, citationMetadata=recited, finishReason="STOP"),
    )
    words = {"start_index": 4, "end_index": 8, "content": "caf"}
    assert cited("gemini", body) == [
        page("https://a.example", title="a", **words),
        page("https://b.example", title="b", **words),
        page("https://c.example", title="c"),
        page("https://d.example", start_index=0, end_index=3),
    ]


def test_cohere() -> None:
    source = {"type": "document", "id": "doc:0", "document": {"title": "T", "text": "…"}}
    citation = {"start": 0, "end": 2, "text": "Hi", "sources": [source], "type": "TEXT_CONTENT"}
    body = named(
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hi"}}}},
        {"type": "citation-start", "index": 0, "delta": {"message": {"citations": citation}}},
        {"type": "citation-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}},
    )
    (found,) = cited("cohere", body)
    assert found["file_citation"] == {
        "filename": "T",
        "title": "T",
        "content": "Hi",
        "start_index": 0,
        "end_index": 2,
    }


# Logprobs

TOKEN: Final = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}
PROBABLE: Final = {**TOKEN, "top_logprobs": [TOKEN]}


def probable(dialect: str, body: bytes) -> list[Any]:
    """The text of each delta and the logprobs beside it."""
    events = replay(READERS[dialect](), [body])
    return [(event.get("text"), event["logprobs"]) for event in events if "logprobs" in event]


def test_logprobs() -> None:
    piece = chat({"content": "Hi"}, logprobs={"content": [PROBABLE], "refusal": None})
    body = sse(piece, finish(), "[DONE]")
    assert probable("openai-chat", body) == [("Hi", [PROBABLE])]
    delta = {"type": "response.output_text.delta", "delta": "Hi", "output_index": 0}
    bare = {name: held for name, held in PROBABLE.items() if name != "bytes"}
    body = named(
        {**delta, "logprobs": [bare]},
        {"type": "response.completed", "response": {"status": "completed"}},
    )
    assert probable("openai-responses", body) == [("Hi", [{**PROBABLE, "bytes": None}])]
    line = {"message": {"role": "assistant", "content": "Hi"}, "logprobs": [PROBABLE]}
    done = {"message": {"content": ""}, "done": True, "done_reason": "stop"}
    body = b"\n".join(json.dumps(held).encode() for held in (line, done))
    assert probable("ollama", body) == [("Hi", [PROBABLE])]
    chosen = {"token": "Hi", "logProbability": -0.5, "tokenId": 7}
    result = {"chosenCandidates": [chosen], "topCandidates": [{"candidates": [chosen]}]}
    parts = {"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}
    body = sse({"candidates": [{**parts, "logprobsResult": result}]})
    assert probable("gemini", body) == [("Hi", [PROBABLE])]


def test_logprobs_of_cohere() -> None:
    def said(text: str, *logprobs: Any) -> dict[str, Any]:
        item = {"text": text, "token_ids": [7] * len(logprobs), "logprobs": [*logprobs]}
        delta = {"message": {"content": {"text": text}}}
        return {"type": "content-delta", "index": 0, "delta": delta, "logprobs": item}

    end = {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}
    several = {"token": " ü", "logprob": -0.75, "bytes": [32, 195, 188], "top_logprobs": []}
    one = {**PROBABLE, "top_logprobs": []}
    strange = [said("."), said(".", "x", None), {**said("."), "logprobs": 3}]
    body = named(said("Hi", -0.5), said(" ü", -0.5, -0.25), *strange, end)
    assert probable("cohere", body) == [("Hi", [one]), (" ü", [several])]
    message = {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]}
    items = [{"text": "Hi", "token_ids": [7], "logprobs": [-0.5]}]
    whole = {"id": "c", "message": message, "finish_reason": "COMPLETE", "logprobs": items}
    assert probable("cohere", json.dumps(whole).encode()) == [("Hi", [one])]


def test_logprobs_are_asked_of_cohere() -> None:
    assert Cohere().call(Prompt((USER,), "m", {"logprobs": True})).body["logprobs"] is True
    with pytest.raises(RequestError) as caught:
        Cohere().call(Prompt((USER,), "m", {"logprobs": True, "top_logprobs": 2}))
    assert (caught.value.code, caught.value.param) == ("unsupported_option", "top_logprobs")
    assert "at most the logprob of each token" in caught.value.message


def test_logprobs_that_are_none() -> None:
    assert logprobs_of(None) == logprobs_of({}) == logprobs_of([1, None, {}]) == []


def test_logprobs_are_asked_for() -> None:
    prompt = Prompt((USER,), "m", {"logprobs": True, "top_logprobs": 2})
    body = OpenAIResponses().call(prompt).body
    assert body["top_logprobs"] == 2
    assert body["include"] == ["message.output_text.logprobs"]
    asked = Gemini().call(prompt).body["generationConfig"]
    assert asked == {"responseLogprobs": True, "logprobs": 2}
    body = Ollama().call(prompt).body
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)


# Usage


def test_what_is_counted_in_detail() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 3, "cache_write_tokens": 4},
        "completion_tokens_details": {
            "reasoning_tokens": 5,
            "audio_tokens": 6,
            "accepted_prediction_tokens": 7,
            "rejected_prediction_tokens": 0,
        },
        "cost": 0.25,
    }
    body = sse(chat({"content": "ok"}), finish(), {"choices": [], "usage": usage}, "[DONE]")
    assert usage_of("openai-chat", body) == {
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "reasoning_tokens": 5,
        "cached_tokens": 2,
        "details": {
            "input_audio_tokens": 3,
            "cache_write_tokens": 4,
            "output_audio_tokens": 6,
            "accepted_prediction_tokens": 7,
            "cost": 0.25,
        },
    }
    counts = {"promptTokenCount": 9, "candidatesTokenCount": 1, "toolUsePromptTokenCount": 3}
    counts["promptTokensDetails"] = [  # type: ignore[assignment]  # as Google has it
        {"modality": "TEXT", "tokenCount": 4},
        {"modality": "IMAGE", "tokenCount": 5},
    ]
    text = {"content": {"parts": [{"text": "ok"}]}, "finishReason": "STOP"}
    found = usage_of("gemini", sse({"candidates": [text], "usageMetadata": counts}))
    assert found["details"] == {"input_image_tokens": 5, "tool_prompt_tokens": 3}


def test_counts_that_are_none() -> None:
    strange: dict[str, Any] = {"a": None, "b": -1, "c": "2", "d": True, "e": 2**60, "f": {}}
    assert counted(("", strange), ("x_", None)) is None
    many = {f"n{number}": 1 for number in range(999)}
    assert len(counted(("", many)) or ()) == 30


# Through the hub

USAGE: Final = {
    "prompt_tokens": 10,
    "completion_tokens": 20,
    "prompt_tokens_details": {"audio_tokens": 3},
    "completion_tokens_details": {"audio_tokens": 6},
}
CITED: Final = page("https://a.example", title="A", start_index=0, end_index=2)
ABOUT: Final = {"service_tier": "flex", "system_fingerprint": "fp_1"}
BODY: Final = sse(
    {**chat({"role": "assistant", "content": ""}), **ABOUT},
    chat({"content": "Hi"}, logprobs={"content": [PROBABLE]}),
    chat({"content": "."}, logprobs={"content": [PROBABLE]}),
    chat({"annotations": [CITED]}),
    finish(),
    {"choices": [], "usage": USAGE},
    "[DONE]",
)


@asynccontextmanager
async def hub() -> AsyncIterator[tuple[aiohttp.ClientSession, str, Scripted]]:
    async with Scripted() as upstream:
        upstream.answers(*[Answer(BODY)] * 4)
        table = {"dialect": "openai-chat", "url": upstream.url, "model": "m"}
        async with (
            hub_on_loopback(upstreams={"asked": table}, default_upstream="asked") as running,
            aiohttp.ClientSession() as session,
            asyncio.timeout(PATIENCE),
        ):
            yield session, f"http://127.0.0.1:{running.port}", upstream


async def post(session: aiohttp.ClientSession, url: str, body: Mapping[str, Any]) -> Any:
    async with session.post(url, json=body) as answer:
        assert answer.status == 200, await answer.text()
        if answer.content_type == "application/json":
            return await answer.json()
        lines = (await answer.text()).split("\n")
    data = [line[6:] for line in lines if line.startswith("data: ")]
    return [json.loads(held) for held in data if held != "[DONE]"]


async def test_chat_completions() -> None:
    asked = {"model": "asked", "messages": [USER], "logprobs": True}
    async with hub() as (session, url, _):
        whole = await post(session, f"{url}/v1/chat/completions", asked)
        streamed = {**asked, "stream": True, "stream_options": {"include_usage": True}}
        chunks = await post(session, f"{url}/v1/chat/completions", streamed)
    (choice,) = whole["choices"]
    assert choice["message"]["annotations"] == [CITED]
    assert choice["logprobs"] == {"content": [PROBABLE] * 2, "refusal": None}
    assert {name: whole[name] for name in ABOUT} == ABOUT
    assert whole["usage"]["prompt_tokens_details"] == {"audio_tokens": 3}
    assert whole["usage"]["completion_tokens_details"] == {"audio_tokens": 6}
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    told = [one["logprobs"] for one in choices if one["logprobs"]]
    assert told == [{"content": [PROBABLE], "refusal": None}] * 2
    assert [d for one in choices for d in one["delta"].get("annotations", ())] == [CITED]
    *_, end, last = chunks
    for chunk in (end, last):
        assert {name: chunk[name] for name in ABOUT} == ABOUT
    assert last["usage"] == whole["usage"]


async def test_responses_of_the_hub() -> None:
    include = ["message.output_text.logprobs", "reasoning.encrypted_content"]
    asked = {"model": "asked", "input": "Hi", "include": include, "service_tier": "flex"}
    async with hub() as (session, url, upstream):
        whole = await post(session, f"{url}/v1/responses", {**asked, "top_logprobs": 1})
        events = await post(session, f"{url}/v1/responses", {**asked, "stream": True})
        first, second = (request.json for request in upstream.requests)
    assert (first["logprobs"], first["top_logprobs"], first["service_tier"]) == (True, 1, "flex")
    assert second["logprobs"] is True
    (part,) = whole["output"][0]["content"]
    annotation = {"type": "url_citation", **CITED["url_citation"]}
    assert part["annotations"] == [annotation]
    assert part["logprobs"] == [PROBABLE] * 2
    assert whole["service_tier"] == "flex"
    assert whole["usage"]["input_tokens_details"]["audio_tokens"] == 3
    assert whole["usage"]["output_tokens_details"]["audio_tokens"] == 6
    kinds = [event["type"] for event in events]
    added = events[kinds.index("response.output_text.annotation.added")]
    assert (added["annotation"], added["annotation_index"]) == (annotation, 0)
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert [event["logprobs"] for event in deltas] == [[PROBABLE]] * 2


async def test_the_ai_sdk() -> None:
    said = {"id": "q", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
    async with hub() as (session, url, _):
        chunks = await post(session, f"{url}/api/chat", {"id": "chat", "messages": [said]})
    (source,) = [chunk for chunk in chunks if chunk["type"] == "source-url"]
    assert source == {
        "type": "source-url",
        "sourceId": "0",
        "url": "https://a.example",
        "title": "A",
    }
    usage = chunks[-1]["messageMetadata"]["usage"]
    assert usage["details"] == {"input_audio_tokens": 3, "output_audio_tokens": 6}


async def test_an_include_that_no_upstream_has_is_refused_by_name() -> None:
    asked = {"model": "asked", "input": "Hi", "include": ["file_search_call.results"]}
    async with hub() as (session, url, _), session.post(f"{url}/v1/responses", json=asked) as told:
        assert told.status == 400
        error = (await told.json())["error"]
    assert (error["code"], error["param"]) == ("unsupported_option", "include")


def test_a_place_in_one_of_several_parts() -> None:
    assert flat(page("u", start_index=7, end_index=9), before=5) == {
        "type": "url_citation",
        "url": "u",
        "title": "",
        "start_index": 2,
        "end_index": 4,
    }
    assert flat({"type": "file_citation", "file_citation": {"index": 4}}) == {
        "type": "file_citation",
        "file_id": "",
        "filename": "",
        "index": 4,
    }
