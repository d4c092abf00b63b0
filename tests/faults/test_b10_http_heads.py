"""Fault B10: replies that other clients take were refused, or read wrongly.

``Content-Encoding`` with what is no coding, long header lines, Anthropic's reason of the end
without ``message_stop``, halves of a character, and the closing tag of reasoning alone.
"""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from hub.dialects import MakeDialect
from hub.dialects.anthropic.reader import Anthropic
from hub.dialects.json import Json
from hub.dialects.ollama import Ollama
from hub.dialects.openai_chat import OpenAIChat
from hub.dialects.reply.think_tags import Thinking
from hub.dialects.text import Text
from tests.cases.outputs import events_of, follow
from tests.cases.upstreams import Case, serving, tables
from tests.faults.replies import call, chat, finish, named, read, sse
from tests.support.loopback_hub import hub_on_loopback
from tests.support.transcripts import replay

BODY = sse(chat({"content": "one "}), chat({"content": "two"}), finish(), "[DONE]")


async def answered(*headers: str, chunked: bool = True) -> Any:
    lines = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", *headers]
    lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(BODY)}")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    case = Case("b10", "", "openai-chat", head, BODY, chunked, "clean", False, [], {})
    async with (
        serving(case, "random") as url,
        hub_on_loopback(**tables(case, url)) as hub,
        aiohttp.ClientSession() as session,
    ):
        return events_of(await follow(session, f"http://127.0.0.1:{hub.port}"))


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(
    "coding", ["none", "None", "", " ", "utf-8", "UTF-8", "utf8", "identity", "identity, none"]
)
async def test_what_is_no_content_coding(coding: str, chunked: bool) -> None:
    seen = await answered(f"Content-Encoding: {coding}", chunked=chunked)
    assert (seen.text, seen.end) == ("one two", "stop")


@pytest.mark.parametrize("coding", ["compress", "lzma", "gzip, br", "dcb"])
async def test_what_cannot_be_undone_is_refused(coding: str) -> None:
    assert (await answered(f"Content-Encoding: {coding}")).end == "failed"


@pytest.mark.parametrize("size", [9_000, 32_000, 65_000])
async def test_long_header_lines(size: int) -> None:
    seen = await answered(f"X-Trace: {'a' * size}", f"Content-Security-Policy: {'b' * size}")
    assert (seen.text, seen.end) == ("one two", "stop")


async def test_a_header_line_without_end_is_refused() -> None:
    assert (await answered(f"X-Trace: {'a' * 200_000}")).end == "failed"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("refusal", "filter"),
        ("stop_sequence", "stop"),
    ],
)
def test_a_reason_and_a_clean_end_are_an_end(said: str, reason: str) -> None:
    body = named(
        {"type": "message_start", "message": {"id": "m", "content": []}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
        {"type": "message_delta", "delta": {"stop_reason": said}, "usage": {"output_tokens": 4}},
    )
    assert replay(Anthropic(), [body])[-1] == {
        "type": "finished",
        "reason": reason,
        "usage": {"completion_tokens": 4},
    }
    assert replay(Anthropic(), [body], clean=False)[-1]["type"] == "delta"
    without = body[: body.index(b"event: message_delta")]
    assert replay(Anthropic(), [without])[-1]["type"] == "delta"


HALVES = [r"\ud83d", r"\ude00"]


def in_two(frame: Any) -> bytes:
    """Two frames, with half a character in the place of HALF each."""
    text = json.dumps(frame)
    return b"".join(b"data: %b\n\n" % text.replace("HALF", half).encode() for half in HALVES)


@pytest.mark.parametrize(
    ("dialect", "frame", "end"),
    [
        ("openai-chat", chat({"content": "HALF"}), sse(finish())),
        (
            "anthropic",
            {"type": "content_block_delta", "index": 0,
             "delta": {"type": "text_delta", "text": "HALF"}},
            sse({"type": "message_stop"}),
        ),
        (
            "gemini",
            {"candidates": [{"content": {"parts": [{"text": "HALF"}]}}]},
            sse({"candidates": [{"finishReason": "STOP"}]}),
        ),
        (
            "openai-responses",
            {"type": "response.output_text.delta", "delta": "HALF"},
            sse({"type": "response.completed", "response": {"output": []}}),
        ),
        (
            "cohere",
            {"type": "content-delta", "delta": {"message": {"content": {"text": "HALF"}}}},
            sse({"type": "message-end", "delta": {}}),
        ),
        ("ollama", {"message": {"content": "HALF"}}, sse({"done": True})),
        ("json", {"text": "HALF"}, sse("[DONE]")),
    ],
    ids=lambda held: held if isinstance(held, str) else "",
)  # fmt: skip
def test_halves_of_a_character_are_joined(dialect: str, frame: Any, end: bytes) -> None:
    assert read(dialect, in_two(frame) + end).text == "😀"


@pytest.mark.parametrize("character", ["é", "字", "😀", "💀"])
def test_a_character_that_was_cut_by_its_bytes_is_joined(character: str) -> None:
    held = character.encode()
    frame = json.dumps(chat({"content": "HALF"})).encode()
    for at in range(1, len(held)):
        halves = [b"a" + held[:at], held[at:] + b"b"]
        for cut in (halves, [b"a", *(held[n : n + 1] for n in range(len(held))), b"b"]):
            body = b"".join(b"data: %b\n\n" % frame.replace(b"HALF", piece) for piece in cut)
            assert read("openai-chat", body + sse(finish())).text == f"a{character}b"
    lost = b"data: %b\n\n" % frame.replace(b"HALF", b"a" + held[:1])
    assert read("openai-chat", lost + sse(finish())).text == "a\ufffd"


def test_halves_of_a_character_in_arguments_are_joined() -> None:
    begun = call("f", '{"a":"', index=0)
    body = sse(begun) + in_two(call(None, "HALF", index=0))
    assert read("openai-chat", body + sse(call(None, '"}', index=0), finish())).tools == [
        ("f", '{"a":"😀"}')
    ]


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("hmm let me see</think>\n\nAnswer", "hmm let me see", "\n\nAnswer"),
        ("<think>hmm</think>Answer", "hmm", "Answer"),
        ("\n<think>\nhmm</think>Answer", "\nhmm", "Answer"),
        ("</think>Answer", "", "Answer"),
        ("\n\n</think>\n\nAnswer", "\n\n", "\n\nAnswer"),
        ("a < b </thi b</think>Answer </think>", "a < b </thi b", "Answer </think>"),
        ("never an end", "never an end", ""),
        ("half a tag</thi", "half a tag</thi", ""),
        ("<", "<", ""),
        ("", "", ""),
    ],
)
def test_the_closing_tag_alone(text: str, reasoning: str, answer: str) -> None:
    for pieces in ([text], list(text)):
        thinking = Thinking(opened=True)
        said = [*map(thinking.split, pieces), thinking.rest()]
        assert ("".join(r for r, _ in said), "".join(a for _, a in said)) == (reasoning, answer)


def test_every_dialect_that_splits_thinking_takes_it() -> None:
    option = {"think": "closing"}
    text = "so</think>yes"
    bodies: dict[MakeDialect, bytes] = {
        OpenAIChat: sse(chat({"content": text}), finish()),
        Ollama: json.dumps({"message": {"content": text}, "done": True}).encode(),
        Json: json.dumps({"text": text}).encode(),
        Text: text.encode(),
    }
    for make, body in bodies.items():
        seen = events_of(replay(make(option), [body]))
        assert (seen.reasoning, seen.text) == ("so", "yes")
