"""Fault B8: pictures and sounds that a model made were accepted, paid for and dropped."""

from __future__ import annotations

import json
from base64 import b64encode
from io import BytesIO
from typing import Any, Final

import pytest

from hub.dialects.gemini.reader import Gemini
from hub.domain.prompt import Prompt
from tests.faults.replies import chat, finish, named, sse
from tests.faults.turns import USER, Provider, asking, candidate
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
