"""Fault C5: ``stop`` was refused by upstreams that speak OpenAI's Responses, which have none."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations, pairwise
from typing import Any, Final

import aiohttp
import pytest

from hub.dialects.openai_responses.reader import OpenAIResponses
from hub.dialects.reply.stop_sequences import StopSequences
from hub.dialects.request.chat_request import stop_sequences
from hub.domain.errors import RequestError
from hub.domain.events import Delta, Event, Failed, Finished, ToolCall, Usage
from hub.domain.prompt import Prompt
from tests.faults.replies import named
from tests.faults.turns import USER, Client, Provider, asking
from tests.support.loopback_hub import hub_on_loopback
from tests.support.scripted_upstream import Scripted
from tests.support.transcripts import replay
from tests.support.upstream_answers import Answer, Ending


def text_of(events: Iterable[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


@pytest.mark.parametrize(
    ("stop", "text", "expected"),
    [
        (["END"], "Hi END of it", "Hi "),
        (["END"], "Hi", None),
        (["END"], "Hi EN", None),
        (["END"], "END", ""),
        (["aab"], "aaab", "a"),
        (["abc", "b"], "abc", "a"),  # "b" is complete first
        (["bc", "abc"], "abc", ""),  # both at once: the longest
        (["\n\n"], "a\nb\n\nc", "a\nb"),
        (["🤔é"], "x🤔éy", "x"),
        ([""], "Hi", None),
        ([], "Hi", None),
    ],
)
def test_the_text_ends_there_however_it_is_cut(
    stop: list[str], text: str, expected: str | None
) -> None:
    for count in range(min(len(text), 4)):
        for cuts in combinations(range(1, len(text)), count):
            places = (0, *cuts, len(text))
            pieces = [text[a:b] for a, b in pairwise(places)]
            stops = StopSequences(stop)
            events = [event for one in pieces for event in stops.cut([Delta(text=one)])]
            events += stops.cut([Finished(reason="length")])
            assert text_of(events) == (text if expected is None else expected), pieces
            assert [event.reason for event in events if isinstance(event, Finished)] == [
                "length" if expected is None else "stop"
            ]
            assert stops.found is (expected is not None)


def test_what_came_beside_it_keeps_its_order() -> None:
    stops = StopSequences(["END"])
    cited, call = Delta(extra={"annotations": []}), Delta(tool=ToolCall(0, "c", "look"))
    assert stops.cut([Delta(text="HiE"), cited]) == [Delta(text="Hi")]
    assert stops.cut([Delta(reasoning="END")]) == []
    assert stops.cut([Delta(text="!")]) == [
        Delta(text="E"),
        cited,
        Delta(reasoning="END"),
        Delta(text="!"),
    ]
    assert stops.cut([Delta(text="E"), call, Delta(text="ND")]) == [
        Delta(text="E"),
        call,
        Delta(text="ND"),
    ]
    refused = Delta(text="END", extra={"refusal": True})
    failed = Failed(code="x")
    assert stops.cut([refused, Delta(text="E"), failed]) == [refused, Delta(text="E"), failed]


def test_the_usage_of_a_reply_that_has_ended_is_known() -> None:
    usage = Usage(1, 2)
    *_, end = StopSequences(["b"]).cut([Delta(text="abc"), Finished(usage=usage)])
    assert end == Finished(reason="stop", usage=usage)


def said(*texts: str) -> bytes:
    deltas: list[dict[str, Any]] = [
        {"type": "response.output_text.delta", "output_index": 0, "delta": text} for text in texts
    ]
    done = {"type": "response.completed", "response": {"status": "completed"}}
    return named(*deltas, done)


BODY: Final = said("One, tw", "o, th", "ree", ", four")


def test_responses_at_every_cut_of_the_bytes() -> None:
    for stop, expected in ((["three"], "One, two, "), (["five", ", t"], "One"), (None, None)):
        for size in (1, 7, len(BODY)):
            reader = OpenAIResponses()
            body = reader.call(Prompt((USER,), "m", {"stop": stop})).body
            assert "stop" not in body
            pieces = [BODY[at : at + size] for at in range(0, len(BODY), size)]
            events = replay(reader, pieces)
            text = "".join(event.get("text", "") for event in events)
            assert text == ("One, two, three, four" if expected is None else expected)
            assert (events[-1]["type"], events[-1]["reason"]) == ("finished", "stop")
            assert reader.stopped is (expected is not None)


async def test_a_client_of_the_hub_is_answered_up_to_there() -> None:
    async with asking(Provider("openai-responses", BODY, dict, None)) as (client, _):
        asked = {"model": "asked", "messages": [USER], "stop": ["three"]}
        answer = await client.post("/v1/chat/completions", asked)
        chunks = await client.streamed("/v1/chat/completions", {**asked, "stream": True})
    (choice,) = answer["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("One, two, ", "stop")
    assert answer["usage"]["completion_tokens"] > 0
    told = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks]
    assert "".join(told) == "One, two, "


async def test_the_upstream_is_cut_off_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it writes on for a while, and is paid for it."""
    monkeypatch.setattr("hub.upstreams.http_client.ENDING", 1_000.0)
    async with Scripted() as upstream:
        begun = said("One, three, four").partition(b"event: response.completed")[0]
        upstream.answers(Answer(begun, Ending.HANG))
        table = {"dialect": "openai-responses", "url": upstream.url, "model": "m"}
        async with (
            hub_on_loopback(upstreams={"asked": table}, default_upstream="asked") as hub,
            aiohttp.ClientSession() as session,
        ):
            client = Client(session, f"http://127.0.0.1:{hub.port}")
            asked = {"model": "asked", "messages": [USER], "stop": "three"}
            answer = await client.post("/v1/chat/completions", asked)
            (request,) = upstream.requests
            await request.left()
    assert answer["choices"][0]["message"]["content"] == "One, "


@pytest.mark.parametrize("stop", [["x"] * 65, ["x" * 5000], [f"{n:070}" for n in range(64)]])
def test_there_are_not_so_many_that_to_look_for_them_takes_long(stop: list[str]) -> None:
    with pytest.raises(RequestError, match="at most 64 strings"):
        stop_sequences(stop)
    assert stop_sequences(["x" * 64] * 64) == ["x" * 64] * 64
