"""Fault B8: pictures and sounds that a model made were accepted, paid for and dropped."""

from __future__ import annotations

import json
from base64 import b64encode
from io import BytesIO
from typing import Any, Final

import pytest

from hub.dialects.gemini.reader import Gemini
from hub.dialects.openai_chat import OpenAIChat
from hub.domain.conversation import Conversation
from hub.domain.events import Delta, Message, Started
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import own_messages
from tests.faults.replies import call, chat, finish, named, sse
from tests.faults.turns import ROUTES, USER, Client, Provider, asking, candidate
from tests.support.transcripts import READERS, replay

PICTURE: Final = b64encode(b"a picture").decode()
URL: Final = f"data:image/png;base64,{PICTURE}"
IMAGES: Final = [{"type": "image_url", "image_url": {"url": URL}, "index": 0}]
ITEM: Final = {"type": "image_generation_call", "id": "ig_1", "status": "completed"}
BODIES: Final = {
    "gemini": sse(
        candidate({"text": "Here"}),
        candidate({"inlineData": {"mimeType": "image/png", "data": PICTURE}}, finishReason="STOP"),
    ),
    "openai-chat": sse(chat({"content": "Here"}), chat({"images": IMAGES}), finish(), "[DONE]"),
    "openai-responses": named(
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Here"},
        {
            "type": "response.output_item.done",
            "output_index": 1,
            "item": {**ITEM, "result": PICTURE},
        },
        {
            "type": "response.completed",
            "response": {"status": "completed", "output": [{**ITEM, "result": PICTURE}]},
        },
    ),
}


def made(dialect: str, body: bytes) -> list[Any]:
    events = replay(READERS[dialect](), [body])
    assert events[-1]["type"] == "finished"
    return [one for event in events for one in event.get("media", ())]


@pytest.mark.parametrize("dialect", BODIES)
def test_a_picture(dialect: str) -> None:
    expected = {"media_type": "image/png", "data": PICTURE, "index": 0}
    assert made(dialect, BODIES[dialect]) == [expected]


def test_a_picture_that_is_said_once_more_or_lies_elsewhere() -> None:
    choice = {"index": 0, "message": {"content": "Here", "images": IMAGES}, "finish_reason": "stop"}
    whole = {"object": "chat.completion", "choices": [choice]}
    assert len(made("openai-chat", json.dumps(whole).encode())) == 1
    again = sse(chat({"images": IMAGES}), finish(), whole, "[DONE]")
    assert len(made("openai-chat", again)) == 1
    far = [{"image_url": {"url": "https://a.example/x.png"}}, {"image_url": {"url": "x"}}, None]
    (found,) = made("openai-chat", sse(chat({"images": far}), finish(), "[DONE]"))
    assert found == {"media_type": "image/*", "url": "https://a.example/x.png", "index": 0}


def test_what_comes_before_the_picture_is_a_preview() -> None:
    partial = {"type": "response.image_generation_call.partial_image", "partial_image_b64": PICTURE}
    found = made("openai-responses", named(partial) + BODIES["openai-responses"])
    assert [one.get("preview") for one in found] == [True, None]
    assert [one["index"] for one in found] == [0, 0]


@pytest.mark.parametrize("dialect", BODIES)
async def test_a_picture_on_every_route(dialect: str) -> None:
    provider = Provider(dialect, BODIES[dialect], dict, None)
    said = {"id": "q", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
    async with asking(provider) as (client, _):
        answer = await client.post("/v1/chat/completions", {"model": "asked", "messages": [USER]})
        chunks = await client.streamed("/api/chat", {"id": "chat", "messages": [said]})
    assert answer["choices"][0]["message"]["images"] == IMAGES
    (file,) = [chunk for chunk in chunks if chunk["type"] == "file"]
    assert file == {"type": "file", "url": URL, "mediaType": "image/png"}
    async with asking(provider) as (client, _):
        asked = {"model": "asked", "messages": [USER], "stream": True}
        chunks = await client.streamed("/v1/chat/completions", asked)
        answer = await client.post("/v1/responses", {"model": "asked", "input": "Hi"})
    assert [c["choices"][0]["delta"].get("images") for c in chunks].count(IMAGES) == 1
    _, item = answer["output"]
    assert (item["type"], item["result"]) == ("image_generation_call", PICTURE)


SOUND: Final = [b64encode(piece).decode() for piece in (b"one", b"two!")]
SPOKEN: Final = sse(
    chat({"audio": {"id": "audio_1", "transcript": "Hel"}}),
    chat({"audio": {"data": SOUND[0]}}),
    chat({"audio": {"transcript": "lo"}}),
    chat({"audio": {"data": SOUND[1]}}),
    chat({"audio": {"expires_at": 7}}),
    finish(),
    "[DONE]",
)


async def test_a_sound() -> None:
    provider = Provider("openai-chat", SPOKEN, dict, None)
    asked: dict[str, Any] = {"model": "asked", "messages": [USER]}
    asked["modalities"] = ["text", "audio"]
    asked["audio"] = {"voice": "alloy", "format": "pcm16"}
    async with asking(provider) as (client, upstream):
        answer = await client.post("/v1/chat/completions", asked)
        chunks = await client.streamed("/v1/chat/completions", {**asked, "stream": True})
        assert upstream.requests[0].json["modalities"] == ["text", "audio"]
        (stream,) = {request.json["model"] for request in upstream.requests}
    assert stream == "m"
    audio = answer["choices"][0]["message"]["audio"]
    assert audio["data"] == b64encode(b"onetwo!").decode()
    assert audio["transcript"] == "Hello"
    pieces = [c["choices"][0]["delta"].get("audio", {}).get("data") for c in chunks]
    assert [piece for piece in pieces if piece] == SOUND
    (first, second) = made("openai-chat", SPOKEN)
    assert (first["index"], second["index"], first["piece"]) == (0, 0, True)


def test_pictures_are_asked_for() -> None:
    body = Gemini().call(Prompt((USER,), "m", {"modalities": ["text", "image"]})).body
    assert body["generationConfig"] == {"responseModalities": ["TEXT", "IMAGE"]}


async def test_a_picture_of_10_mb_goes_through() -> None:
    """As an answer, and as an event that a client writes."""
    large = "A" * (10 * 1024 * 1024 * 4 // 3)
    inline = {"inlineData": {"mimeType": "image/png", "data": large}}
    body = sse(candidate(inline, finishReason="STOP"))
    async with asking(Provider("gemini", body, dict, None)) as (client, _):
        answer = await client.post("/v1/chat/completions", {"model": "asked", "messages": [USER]})
        event = {"type": "delta", "generation": "g", "media": [{"data": large, "index": 0}]}
        url = f"{client.url}/v1/stream/pictures"
        headers = {"Content-Type": "application/json"}
        async with client.session.put(url, headers=headers) as created:
            assert created.status == 201
        data = BytesIO(json.dumps(event).encode())
        async with client.session.post(url, data=data, headers=headers) as written:
            assert written.status in (200, 204), await written.text()
    (image,) = answer["choices"][0]["message"]["images"]
    assert len(image["image_url"]["url"]) > len(large)


# On the next turn

SIGNED: Final = sse(
    candidate({"text": "Here"}),
    candidate(
        {"inlineData": {"mimeType": "image/jpeg", "data": PICTURE}, "thoughtSignature": "s1"}
    ),
    candidate({"text": "it is."}),
    candidate(
        {"functionCall": {"name": "look", "args": {"at": 1}}, "thoughtSignature": "s2"},
        finishReason="STOP",
    ),
)
JPEG: Final = {"inlineData": {"mimeType": "image/jpeg", "data": PICTURE}, "thoughtSignature": "s1"}
LOOK: Final = {"functionCall": {"name": "look", "args": {"at": 1}}, "thoughtSignature": "s2"}


def made_by_model(body: dict[str, Any]) -> Any:
    return [one["parts"] for one in body["contents"] if one["role"] == "model"]


@pytest.mark.parametrize("route", ROUTES)
async def test_a_signed_picture_comes_back_where_it_stood(route: str) -> None:
    """AG-UI has no place for a picture in an answer: there it is left out, with its signature."""
    picture = [] if route == "ag-ui" else [JPEG]
    provider = Provider("gemini", SIGNED, made_by_model, None, model="gemini-3-pro-image")
    async with asking(provider) as (client, upstream):
        await ROUTES[route](client)
        _, second = upstream.requests
    assert made_by_model(second.json) == [[{"text": "Here"}, *picture, {"text": "it is."}, LOOK]]
    assert "streamhub" not in second.body.decode()


ALONE: Final = sse(
    candidate(
        {"inlineData": {"mimeType": "image/jpeg", "data": PICTURE}, "thoughtSignature": "s1"},
        finishReason="STOP",
    )
)


async def picture_then_words(route: str, client: Client) -> None:
    if route == "stream":
        asked = {"stream": "talk", "prompt": "Draw"}
        await client.post("/v1/generations", asked)
        await client.events("talk")
        await client.post("/v1/generations", {**asked, "prompt": "Again"})
        await client.events("talk", last=2)
    elif route == "responses":
        body: dict[str, Any] = {"model": "asked", "input": [USER], "store": False}
        answer = await client.post("/v1/responses", body)
        given = [USER, *answer["output"], USER]
        await client.post("/v1/responses", {**body, "input": given})
    elif route == "previous response":
        body = {"model": "asked", "input": "Draw"}
        answer = await client.post("/v1/responses", body)
        await client.post("/v1/responses", {**body, "previous_response_id": answer["id"]})
    elif route == "ai sdk":
        said = {"id": "q", "role": "user", "parts": [{"type": "text", "text": "Draw"}]}
        parts: list[dict[str, Any]] = []
        for chunk in await client.streamed("/api/chat", {"id": "chat", "messages": [said]}):
            if chunk["type"] == "file":
                parts.append(chunk)
            elif chunk["type"] == "reasoning-end":
                metadata = chunk["providerMetadata"]
                parts.append({"type": "reasoning", "text": "", "providerMetadata": metadata})
        answer = {"id": "a", "role": "assistant", "parts": parts}
        await client.streamed(
            "/api/chat", {"id": "chat", "messages": [said, answer, {**said, "id": "q2"}]}
        )
    else:
        body = {"model": "asked", "messages": [USER]}
        answer = await client.post("/v1/chat/completions", body)
        messages = [USER, answer["choices"][0]["message"], USER]
        await client.post("/v1/chat/completions", {**body, "messages": messages})


@pytest.mark.parametrize("route", ["chat", "responses", "previous response", "ai sdk", "stream"])
async def test_an_answer_that_is_only_a_signed_picture_comes_back(route: str) -> None:
    provider = Provider("gemini", ALONE, made_by_model, None, model="gemini-3-pro-image")
    async with asking(provider) as (client, upstream):
        await picture_then_words(route, client)
        _, second = upstream.requests
    assert made_by_model(second.json) == [[JPEG]]


def test_a_stream_gives_back_the_pictures_of_one_answer() -> None:
    """All of them would soon be more than a request may have."""
    conversation = Conversation()
    for number in (1, 2):
        detail = {"type": "reasoning.encrypted", "data": f"s{number}", "media": 0, "index": 0}
        media = {"media_type": "image/png", "data": PICTURE, "index": 0}
        conversation.take(Message("user", "Draw"))
        conversation.take(Started(f"g{number}", "asked"))
        extra = {"media": [media], "reasoning_details": [{**detail, "upstream": "asked"}]}
        conversation.take(Delta(f"g{number}", "Here", extra=extra))
    first, second = [one for one in conversation.messages() if one["role"] == "assistant"]
    assert "images" not in first
    assert second["images"] == IMAGES
    assert conversation.size > len(PICTURE)


def test_a_signed_picture_goes_to_no_other_upstream() -> None:
    detail = {"type": "reasoning.encrypted", "data": "s", "format": "google-gemini-v1", "media": 0}
    answer: dict[str, Any] = {"role": "assistant", "content": None, "images": IMAGES}
    answer["reasoning_details"] = [{**detail, "upstream": "gemini"}]
    assert own_messages([USER, answer], "other") == (USER,)
    kept, said = own_messages([USER, {**answer, "content": "Here"}], "other")
    assert (kept, said["content"], "images" in said) == (USER, "Here", False)
    _, same = own_messages([USER, answer], "gemini")
    assert same["images"] == IMAGES


def spoken(expires: int | None) -> bytes:
    end = {} if expires is None else {"expires_at": expires}
    return sse(
        chat({"audio": {"id": "audio_1", "transcript": "Hel"}}),
        chat({"audio": {"data": SOUND[0]}}),
        chat({"audio": {"transcript": "lo", **end}}),
        call("look", '{"at":1}', index=0, id="call_1"),
        finish("tool_calls"),
        "[DONE]",
    )


@pytest.mark.parametrize("expires", [None, 2**40, 7])
@pytest.mark.parametrize("route", ROUTES)
async def test_a_sound_comes_back_by_its_id_until_it_expires(
    route: str, expires: int | None
) -> None:
    provider = Provider("openai-chat", spoken(expires), dict, None)
    async with asking(provider) as (client, upstream):
        await ROUTES[route](client)
        _, second = upstream.requests
    (answer,) = [one for one in second.json["messages"] if one["role"] == "assistant"]
    assert "reasoning_details" not in answer
    if expires == 7:
        assert (answer.get("audio"), answer["content"]) == (None, "Hello")
    else:
        assert (answer["audio"], answer.get("content")) == ({"id": "audio_1"}, None)
    assert answer["tool_calls"][0]["id"] == "call_1"


def test_the_pieces_of_a_sound_have_its_id() -> None:
    assert {one["id"] for one in made("openai-chat", SPOKEN)} == {"audio_1"}


def test_a_sound_goes_to_no_other_upstream() -> None:
    detail = {"type": "reasoning.encrypted", "data": "audio_1", "format": "audio", "index": 0}
    answer: dict[str, Any] = {"role": "assistant", "content": "Hello"}
    answer |= {"audio": {"id": "audio_1", "data": "AA"}}
    answer["reasoning_details"] = [{**detail, "upstream": "one"}]
    for upstream, expected in (("one", {"id": "audio_1"}), ("two", None)):
        (own,) = own_messages([answer], upstream)
        (sent,) = OpenAIChat().call(Prompt((own,))).body["messages"]
        assert sent.get("audio") == expected
