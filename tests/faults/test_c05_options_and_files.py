"""What one route takes the others take, and files reach every provider that has a word for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import openai
import pytest

from hub import dialects
from hub.dialects.request.request_options import requested_options
from hub.domain.errors import RequestError
from hub.domain.prompt import Prompt
from hub.protocols.conversation import messages as ui_messages
from tests.conftest import StartHub
from tests.support.openai_client import World, completing
from tests.support.upstream_answers import Answer, openai_sse

PDF: Final = "data:application/pdf;base64,JVBERi0="
TOOLS: Final[list[Any]] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("look", "see")
]
FLAT: Final[list[Any]] = [{"type": "function", "name": name} for name in ("look", "see")]
ALLOWED: Final[Mapping[str, Any]] = {
    "type": "allowed_tools",
    "allowed_tools": {
        "mode": "required",
        "tools": [{"type": "function", "function": {"name": "see"}}],
    },
}
FILE: Final = {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}}
LINK: Final = {"type": "file", "file": {"file_url": "https://example.org/a.pdf?b"}}
NOTE: Final = {
    "type": "file",
    "file": {"filename": "a.txt", "file_data": "data:text/plain,h%C3%A9"},
}
SOUND: Final = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}


@pytest.fixture
async def world(start_hub: StartHub) -> AsyncIterator[World]:
    async with completing(start_hub, default_upstream="scripted") as made:
        yield made


def body(dialect: str, *parts: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """What a dialect sends for a message with these parts."""
    prompt = Prompt(({"role": "user", "content": list(parts)},), "m-1", options)
    return dict(dialects.find(dialect)({}).call(prompt).body)


def sent(dialect: str, part: Mapping[str, Any]) -> Any:
    """What becomes of one part."""
    made = body(dialect, {"type": "text", "text": "Read"}, part)
    if dialect == "gemini":
        return made["contents"][0]["parts"][1]
    messages = made["input"] if dialect == "openai-responses" else made["messages"]
    return messages[0]["content"][1]


# Files


@pytest.mark.parametrize(
    ("dialect", "part", "there"),
    [
        (
            "anthropic",
            FILE,
            {
                "type": "document",
                "source": {
                    "type": "base64",
                    "media_type": "application/pdf",
                    "data": "JVBERi0=",
                },
                "title": "a.pdf",
            },
        ),
        (
            "anthropic",
            LINK,
            {
                "type": "document",
                "source": {"type": "url", "url": "https://example.org/a.pdf?b"},
            },
        ),
        (
            "anthropic",
            NOTE,
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "hé"},
                "title": "a.txt",
            },
        ),
        ("gemini", FILE, {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}}),
        (
            "gemini",
            LINK,
            {
                "fileData": {
                    "mimeType": "application/pdf",
                    "fileUri": "https://example.org/a.pdf?b",
                }
            },
        ),
        ("gemini", SOUND, {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}}),
        (
            "openai-responses",
            FILE,
            {"type": "input_file", "filename": "a.pdf", "file_data": PDF},
        ),
        (
            "openai-responses",
            LINK,
            {"type": "input_file", "file_url": "https://example.org/a.pdf?b"},
        ),
        (
            "openai-responses",
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "input_file", "file_id": "file-1"},
        ),
        ("openai-responses", SOUND, SOUND),
        ("openai-chat", FILE, FILE),
        ("openai-chat", SOUND, SOUND),
    ],
)
def test_files_and_sounds_in_each_providers_words(
    dialect: str, part: Mapping[str, Any], there: Any
) -> None:
    assert sent(dialect, part) == there


def test_a_picture_that_comes_as_a_file_is_one() -> None:
    part = {"type": "file", "file": {"file_data": "data:image/png;base64,AAAA"}}
    assert sent("anthropic", part)["type"] == "image"
    assert sent("gemini", part) == {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}


@pytest.mark.parametrize(
    ("dialect", "part"),
    [
        ("anthropic", SOUND),
        ("anthropic", {"type": "file", "file": {"file_data": "data:application/zip;base64,AAAA"}}),
        ("gemini", {"type": "file", "file": {"file_id": "file-1"}}),
        ("cohere", FILE),
        ("ollama", SOUND),
    ],
)
def test_what_a_provider_has_no_word_for_is_refused_by_name(dialect: str, part: Any) -> None:
    with pytest.raises(RequestError) as caught:
        sent(dialect, part)
    assert caught.value.code == "unsupported_option"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file"},
        {"type": "file", "file": {"file_url": "file:///etc/passwd"}},
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA"}},
        {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,A"}},
    ],
)
def test_what_is_no_file_is_a_mistake_of_the_request(part: Any) -> None:
    with pytest.raises(RequestError):
        sent("anthropic", part)


@pytest.mark.parametrize(
    ("part", "there"),
    [
        (
            {"type": "file", "mediaType": "application/pdf", "url": PDF, "filename": "a.pdf"},
            FILE,
        ),
        (
            {"type": "file", "mediaType": "application/pdf", "url": "https://example.org/a"},
            {"type": "file", "file": {"file_url": "https://example.org/a"}},
        ),
        ({"type": "file", "mediaType": "audio/mpeg", "url": "data:audio/mpeg;base64,AAAA"}, SOUND),
        (
            {"type": "document", "source": {"type": "data", "value": "JVBERi0="}},
            {"type": "file", "file": {"file_data": PDF}},
        ),
    ],
)
def test_files_of_use_chat_and_of_tanstack(part: dict[str, Any], there: Any) -> None:
    asked = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "Read"}, part]}
    (message,) = ui_messages.chat_messages([asked])
    assert message["content"] == [{"type": "text", "text": "Read"}, there]
    (said,) = ui_messages.new_messages((asked,))
    assert said.extra["files"] == 1


async def test_use_chat_sends_a_pdf(world: World) -> None:
    world.upstream.answers(Answer(*openai_sse("A title")))
    part = {"type": "file", "mediaType": "application/pdf", "url": PDF, "filename": "a.pdf"}
    asked = {"id": "c", "messages": [{"id": "m", "role": "user", "parts": [part]}]}
    async with world.running.client.post("/api/chat", json=asked) as answer:
        assert answer.status == 200, await answer.text()
        await answer.read()
    assert world.upstream.requests[0].json["messages"][0]["content"] == [FILE]


# Options


async def test_responses_take_what_chat_takes(world: World) -> None:
    world.upstream.answers(Answer(*openai_sse("Hi")))
    content = [
        {"type": "input_text", "text": "Read"},
        {"type": "input_file", "filename": "a.pdf", "file_data": PDF},
        SOUND,
    ]
    items: Any = [{"role": "user", "content": content}]
    choice: Any = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "see"}],
    }
    response = await world.client.responses.create(
        model="scripted",
        input=items,
        tools=FLAT,
        tool_choice=choice,
        truncation="auto",
        max_tool_calls=3,
        extra_body={"seed": 7, "stop": "END"},
    )
    asked = world.upstream.requests[0].json
    assert asked["messages"][0]["content"] == [{"type": "text", "text": "Read"}, FILE, SOUND]
    assert asked["tool_choice"] == ALLOWED
    assert (asked["seed"], asked["stop"]) == (7, "END")
    assert not {"truncation", "max_tool_calls"} & set(asked)
    assert (response.truncation, response.max_tool_calls) == ("auto", 3)
    where = f"/v1/responses/{response.id}/input_items"
    async with world.running.client.get(where) as answer:
        assert (await answer.json())["data"][0]["content"] == content


@pytest.mark.parametrize(
    "wrong", [{"type": "allowed_tools"}, {"type": "allowed_tools", "tools": 1}]
)
async def test_allowed_tools_without_a_list_are_a_mistake(wrong: Any, world: World) -> None:
    with pytest.raises(openai.BadRequestError):
        await world.client.responses.create(
            model="scripted", input="Hi", tools=FLAT, tool_choice=wrong
        )


def test_only_the_allowed_tools_are_offered() -> None:
    hello = {"type": "text", "text": "Hi"}
    options: Any = {"tools": TOOLS, "tool_choice": ALLOWED}
    made = body("anthropic", hello, **options)
    assert [tool["name"] for tool in made["tools"]] == ["see"]
    assert made["tool_choice"] == {"type": "any"}
    made = body("gemini", hello, **options)
    assert [one["name"] for one in made["tools"][0]["functionDeclarations"]] == ["see"]
    assert made["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}
    made = body("openai-responses", hello, **options)
    assert len(made["tools"]) == 2
    assert made["tool_choice"] == {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "see"}],
    }
    flat = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "name": "x"}]}
    made = body("openai-responses", hello, tools=TOOLS, tool_choice=flat)
    assert made["tool_choice"] == flat


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 1},
        {"truncation": "auto"},
        {"max_tool_calls": 2},
        {"parallel_tool_calls": False, "tools": TOOLS, "tool_choice": "none"},
    ],
)
def test_what_changes_nothing_is_left_out(options: dict[str, Any]) -> None:
    asked = requested_options(options, "any", ("tools", "tool_choice"))
    assert not {"seed", "truncation", "max_tool_calls", "parallel_tool_calls"} & set(asked)


@pytest.mark.parametrize("dialect", ["cohere", "gemini", "ollama"])
def test_one_call_at_a_time_is_refused_by_name_where_there_is_no_switch(dialect: str) -> None:
    hello = {"type": "text", "text": "Hi"}
    with pytest.raises(RequestError) as caught:
        body(dialect, hello, tools=TOOLS, parallel_tool_calls=False)
    assert caught.value.code == "unsupported_option"
    assert caught.value.param == "parallel_tool_calls"
    assert "answer every call of a reply" in caught.value.message
    assert "tools" in body(dialect, hello, tools=TOOLS, parallel_tool_calls=True)


def test_and_is_passed_on_where_there_is_a_word_for_it() -> None:
    hello = {"type": "text", "text": "Hi"}
    assert body("gemini", hello, seed=1)["generationConfig"]["seed"] == 1
    assert body("openai-responses", hello, truncation="auto")["truncation"] == "auto"
    assert "seed" not in body("openai-responses", hello, seed=1)
    assert "seed" not in body("anthropic", hello, seed=1)
