"""Upstreams that do anything, and what must hold of each answer: it ends once, and last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal

from hypothesis import strategies as st

from hub.domain.events import TERMINALS, Delta, Message, Started, Terminal
from hub.streams.followed import FollowedStream
from tests.support.http_requests import promptly
from tests.support.loopback_hub import eventually
from tests.support.numbered_records import REPLY
from tests.support.scripted_upstream import Scripted
from tests.support.transport_readers import WebSocket
from tests.support.upstream_answers import Answer, Ending, openai_sse, refusal

__all__ = ["WHOLE", "check_cancelling", "check_story", "ends_of", "faults", "one_for_each"]

WHOLE: Final = Answer(*openai_sse(*REPLY, usage={"prompt_tokens": 3, "completion_tokens": 6}))


@st.composite
def faults(draw: st.DrawFn) -> Answer:
    """An answer that goes wrong somewhere, or lies about itself, or not."""
    kind = draw(st.sampled_from(["stop", "stop", "stop", "raw", "garbage", "status", "refusal"]))
    if kind == "refusal":
        status = draw(st.sampled_from([301, 400, 401, 404, 429, 500, 503, 529]))
        return refusal(status, "no", retry_after=draw(st.sampled_from([None, "soon", "9999"])))
    framings: list[Literal["chunked", "length", "close"]] = ["chunked", "length", "close"]
    framing = draw(st.sampled_from(framings))
    kind_said = draw(st.sampled_from(["text/event-stream", "text/html", "application/json", None]))
    status = 200 if kind != "status" else draw(st.sampled_from([201, 204, 206, 500]))
    answer = Answer(*WHOLE.steps, framing=framing, type=kind_said, status=status)
    if kind == "garbage":
        junk = draw(st.sampled_from([b"data: {", b"<html>", b"\xff\xfe", b'data: {"error":1}']))
        place = draw(st.integers(0, len(WHOLE.steps)))
        steps = [*WHOLE.steps[:place], junk + b"\n\n", *WHOLE.steps[place:]]
        answer = Answer(*steps, framing=framing, type=kind_said)
    if kind == "raw":
        answer = answer.raw()
    places = draw(st.lists(st.integers(0, len(answer.body)), max_size=4))
    answer = answer.cut(*places)
    if kind in ("stop", "raw") and draw(st.integers(0, 4)):
        ending = draw(st.sampled_from(list(Ending)))
        answer = answer.stop(draw(st.integers(0, len(answer.body))), ending)
    return answer


def one_for_each(upstream: Scripted, answers: Sequence[Answer]) -> dict[str, dict[str, Any]]:
    """An upstream ``u0``, ``u1`` … for each answer: a request that is cancelled may arrive late."""
    patience = {"stall_timeout": 0.1, "retries": 1, "max_retry_wait": 0.0}
    return {
        f"u{number}": {
            "dialect": "openai-chat",
            "url": upstream.answers(answer, under=f"/u{number}/"),
            **patience,
        }
        for number, answer in enumerate(answers)
    }


async def check_story(stream: FollowedStream) -> tuple[Terminal, str]:
    """Check the stream of one answer that has ended; returns its end and its text."""
    question, *story = [event async for event in stream.events()]
    assert isinstance(question, Message)
    assert isinstance(story[0], Started)
    assert sum(isinstance(event, TERMINALS) for event in story) == 1
    end = story[-1]
    assert isinstance(end, TERMINALS)
    assert stream.closed
    text = "".join(event.text for event in story if isinstance(event, Delta))
    assert "".join(REPLY).startswith(text)
    return end, text


async def ends_of(stream: FollowedStream) -> list[str]:
    """How the answers of a stream have ended."""
    events = [event async for event in stream.events() if isinstance(event, TERMINALS)]
    return [type(event).__name__ for event in events]


async def check_cancelling(
    upstream: Scripted,
    answer: Answer,
    starter: WebSocket,
    cancel: Callable[[str], Awaitable[str]],
) -> None:
    """Check that ``cancel``, which returns a state, reaches the upstream of an answer at once."""
    loop = asyncio.get_running_loop()

    async def attempt() -> float:
        upstream.answers(answer)
        number = len(upstream.requests)
        started = await starter.ask(type="generate", stream="chat", prompt="Hi")
        request = await upstream.request(number)
        await eventually(lambda: request.sent)
        began = loop.time()
        assert await cancel(started["generation"]) == "cancelled"
        return await request.left() - began

    await promptly(attempt)
