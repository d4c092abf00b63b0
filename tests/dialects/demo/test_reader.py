"""The demo: its own upstream, read like any other."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from hub.dialects import Local
from hub.dialects.demo.answers import answer_to
from hub.dialects.demo.reader import DAY, Demo
from hub.domain.errors import UpstreamError
from hub.domain.prompt import Prompt
from hub.framing import Chunk
from tests.support.transcripts import replay, text_of

AT_ONCE = {"pace": 1_000_000}


def asked(said: str, **options: Any) -> Prompt:
    return Prompt(({"role": "user", "content": said},), None, options)


def reply(prompt: Prompt) -> list[Any]:
    demo = Demo(AT_ONCE)
    return replay(demo, [piece for _, piece in demo.script(prompt)])


def test_needs_no_network() -> None:
    assert isinstance(Demo(), Local)


@pytest.mark.parametrize(
    "said", ["help", "poem", "code", "table", "long", "echo Grüße 👋", "你好", "?"]
)
def test_says_the_answer(said: str) -> None:
    events = reply(asked(said))
    answer = answer_to(said)
    assert text_of(events, "reasoning") == answer.reasoning
    assert text_of(events) == answer.text
    assert events[-1]["type"] == "finished"
    assert events[-1]["reason"] == "stop"


def test_reasoning_comes_first() -> None:
    kinds = ["reasoning" in event for event in reply(asked("poem"))]
    assert kinds == sorted(kinds, reverse=True)
    assert any(kinds)


def test_counts_its_tokens() -> None:
    *deltas, finished = reply(asked("poem, please"))
    assert finished["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": len(deltas),
        "reasoning_tokens": sum("reasoning" in delta for delta in deltas),
    }


def test_calls_a_tool() -> None:
    events = reply(asked("tools"))
    pieces = [event["tool"] for event in events if "tool" in event]
    assert (pieces[0]["id"], pieces[0]["name"]) == ("call_demo", "get_weather")
    assert len(pieces) > 5
    arguments = "".join(piece["arguments"] for piece in pieces)
    assert arguments == '{"city":"Zürich","country":"🇨🇭","units":"celsius"}'
    assert events[-1]["reason"] == "tool"


def test_answers_what_a_tool_said() -> None:
    messages = ({"role": "user", "content": "tools"}, {"role": "tool", "content": "21 °C"})
    assert "> 21 °C" in text_of(reply(Prompt(messages)))


def test_keeps_to_the_length_asked_for() -> None:
    for option in ("max_tokens", "max_completion_tokens"):
        *deltas, finished = reply(asked("long", **{option: 50}))
        assert len(deltas) == 50
        assert finished["reason"] == "length"
        assert finished["usage"]["completion_tokens"] == 50


def test_fails_half_way() -> None:
    *deltas, failed = reply(asked("fail"))
    assert failed["type"] == "failed"
    assert failed["code"] == "upstream_error"
    assert 0 < len(text_of(deltas)) < len(answer_to("fail").text)


def test_is_cut_off_half_way() -> None:
    events = reply(asked("cut"))
    assert {event["type"] for event in events} == {"delta"}
    assert 0 < len(text_of(events)) < len(answer_to("cut").text)


def test_stalls_half_way() -> None:
    *typed, (pause, _) = Demo(AT_ONCE).script(asked("stall"))
    assert {pause for pause, _ in typed} == {0.0}
    assert pause == DAY
    events = replay(Demo(), [piece for _, piece in typed])
    assert 0 < len(text_of(events)) < len(answer_to("stall").text)


def test_no_prompt_at_all_gets_the_tour() -> None:
    assert "(nothing)" in text_of(reply(Prompt(())))


def test_half_a_character_in_the_prompt_does_no_harm() -> None:
    assert text_of(reply(asked("echo a\ud83d"))) == "a\ufffd"


@pytest.mark.parametrize(
    ("pace", "pause", "together"),
    [(40, 0.025, 1), (1, 1.0, 1), (0.5, 2.0, 1), (5_000, 0.001, 5), (100_000, 0.0, 32)],
)
def test_types_at_its_pace(pace: float, pause: float, together: int) -> None:
    for paused, piece in islice(Demo({"pace": pace}).script(asked("table")), 3):
        assert paused == pytest.approx(pause)
        assert piece.count(b"\n") == together


def test_is_the_same_every_time() -> None:
    assert list(Demo().script(asked("poem"))) == list(Demo().script(asked("poem")))


def test_nothing_follows_the_end() -> None:
    demo = Demo()
    list(demo.events(Chunk(b'{"end":"stop"}')))
    assert not list(demo.events(Chunk(b'{"text":"late"}')))
    assert not list(demo.close(clean=True))


@pytest.mark.parametrize(
    "line", [b"{}", b"5", b'{"end":"later"}', b'{"end":["stop"]}', b"nonsense"]
)
def test_does_not_take_what_it_does_not_write(line: bytes) -> None:
    with pytest.raises(UpstreamError):
        list(Demo().events(Chunk(line)))
