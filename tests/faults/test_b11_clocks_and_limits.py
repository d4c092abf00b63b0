"""An upstream that shows that it works is waited for, and an image fits into a request."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from io import BytesIO
from typing import Any, Final

import pytest

from hub import Config
from hub.dialects.openai_chat import OpenAIChat
from hub.domain.errors import UpstreamError
from hub.domain.events import Delta, Finished, Started
from hub.domain.generation import Generation
from hub.domain.prompt import Prompt
from hub.generations.relay import relay
from hub.streams.stream import Stream
from tests.conftest import StartHub
from tests.support.clock import Clock
from tests.support.fake_upstream import FOREVER, FakeUpstream, Step
from tests.support.openai_client import HELLO, completing
from tests.support.patience import PATIENCE
from tests.support.upstream_answers import Answer, Gate, openai_block, openai_sse

PROMPT: Final = Prompt(({"role": "user", "content": "Hi"},))
BEAT: Final = b": still here\n\n"
PING: Final = b"data: {}\n\n"


async def read(fake_upstream: FakeUpstream) -> str:
    """The text of a reply that ends well."""
    stream, generation = Stream("s"), Generation("s", fake_upstream.name, None)
    generation.apply(Started())
    end = await relay(fake_upstream, PROMPT, generation, stream)
    assert isinstance(end, Finished)
    return "".join([e.text async for e in stream.events() if isinstance(e, Delta)])


@pytest.mark.parametrize("beat", [BEAT, PING], ids=["comments", "chunks without content"])
async def test_signs_of_life_are_no_silence(beat: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = Clock(monkeypatch), openai_sse("Hel", "lo")
    beats: list[Step] = [step for _ in range(12) for step in (partial(clock.leap, 20), beat)]
    steps = [*beats, *said[:2], *beats, *said[2:]]
    assert await read(FakeUpstream(steps, dialect=OpenAIChat, stall_timeout=60.0)) == "Hello"


@pytest.mark.parametrize("begun", [True, False])
async def test_nor_are_they_content_for_ever(begun: bool) -> None:
    greeting: list[Step] = [openai_block({"content": "Hel"})] if begun else []
    steps = [*greeting, *[step for _ in range(12) for step in (0.08, BEAT)], FOREVER]
    fake_upstream = FakeUpstream(
        steps, dialect=OpenAIChat, retries=0, stall_timeout=60.0, content_timeout=0.3
    )
    with pytest.raises(UpstreamError, match=r"keep-alives .* 0\.3 s") as stalled:
        await read(fake_upstream)
    assert stalled.value.code == "upstream_stalled"


async def test_silence_is_still_silence() -> None:
    fake_upstream = FakeUpstream(
        [b": hello\n\n", FOREVER], dialect=OpenAIChat, stall_timeout=0.1, content_timeout=60.0
    )
    with pytest.raises(UpstreamError, match=r"nothing came .* 0\.1 s"):
        await read(fake_upstream)


async def test_after_the_last_word_signs_of_life_put_nothing_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hub.generations.relay.TRAILERS", 0.3)
    endless: list[Step] = [step for _ in range(10_000) for step in (0.02, b": hello\n\n")]
    steps = [*openai_sse("Hi", done=False), *endless]
    async with asyncio.timeout(PATIENCE):
        assert await read(FakeUpstream(steps, dialect=OpenAIChat)) == "Hi"


async def test_the_tutorial_keeps_the_same_clocks(start_hub: StartHub) -> None:
    async with completing(start_hub, default_upstream="scripted") as world:
        upstream = world.running.hub.upstreams.find("scripted")
        upstream.stall_timeout = 3.0
        beats = [step for _ in range(8) for step in (0.5, BEAT)]
        world.upstream.answers(Answer(*beats, *openai_sse("Hi")))
        path = "/stream_data_to_frontend_test"
        answer = await world.running.client.post(path, json={"messages": HELLO})
        assert '"text":"Hi"' in (await answer.text()).replace(" ", "")


def test_both_are_in_the_configuration() -> None:
    table = Config().upstreams["demo"]
    assert (table.stall_timeout, table.content_timeout) == (60.0, 600.0)


# Images


def asking(size: int) -> dict[str, Any]:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * size}"}}
    return {"model": "scripted", "messages": [{"role": "user", "content": [image]}]}


async def test_an_image_of_ten_megabytes_fits(start_hub: StartHub) -> None:
    """As text it is four thirds of that."""
    body = asking(4 * 10 * 2**20 // 3)
    async with completing(start_hub) as world:
        world.upstream.answers(Answer(*openai_sse("a cat")))
        sent = BytesIO(json.dumps(body).encode())
        headers = {"Content-Type": "application/json"}
        answer = await world.running.client.post("/v1/chat/completions", data=sent, headers=headers)
        assert answer.status == 200
        assert len(world.upstream.requests[0].body) > 4 * 10 * 2**20 // 3


@pytest.mark.parametrize("key", ["body_bytes", "prompt_bytes"])
async def test_what_is_too_large_is_told_the_limit_and_its_key(
    key: str, start_hub: StartHub
) -> None:
    async with completing(start_hub, limits={key: 5_000}) as world:
        for path, body in (
            ("/v1/chat/completions", asking(10_000)),
            ("/v1/generations", {"prompt": "x" * 10_000}),
        ):
            answer = await world.running.client.post(path, json=body)
            assert answer.status == 413
            said = (await answer.json())["error"]["message"]
            assert "5000" in said
            if key == "body_bytes":
                assert "limits.body_bytes" in said


async def test_an_event_too(start_hub: StartHub) -> None:
    running = await start_hub(limits={"event_bytes": 100})
    async with running.client.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket:
        event = {"type": "message", "role": "user", "text": "x" * 200}
        await socket.send_json({"type": "append", "stream": "s", "event": event})
        told = json.loads((await socket.receive()).data)
    assert told["code"] == "too_large"
    assert "100 bytes (limits.event_bytes)" in told["message"]


async def test_a_piece_of_a_reply_too(start_hub: StartHub) -> None:
    """The whole of an image comes in one."""
    gate = Gate()
    gate.open()
    image = "A" * (6 * 2**20)
    async with completing(start_hub) as world:
        world.upstream.answers(Answer(*openai_sse(image), gate))
        answer = await world.running.client.post(
            "/v1/chat/completions", json={"model": "scripted", "messages": HELLO}
        )
        assert (await answer.json())["choices"][0]["message"]["content"] == image
