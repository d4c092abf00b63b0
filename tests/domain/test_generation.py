"""The table of a generation, pair by pair: one beginning, one end, nothing after it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.events import (
    TERMINALS,
    Cancelled,
    Delta,
    Dropped,
    Event,
    Failed,
    Finished,
    Interrupted,
    Message,
    Other,
    Queued,
    Seconds,
    Started,
    ToolCall,
    Usage,
    to_json,
)
from hub.domain.generation import Generation, State
from hub.domain.records import Position

EVENTS: dict[str, Event] = {
    "message": Message("user", "Hi"),
    "started": Started(),
    "delta": Delta(text="Hi"),
    "other": Other({"type": "retrying"}),
    "finished": Finished(),
    "failed": Failed(code="upstream_stalled", message="nothing came"),
    "cancelled": Cancelled(),
    "interrupted": Interrupted(),
    "queued": Queued(),
    "dropped": Dropped(),
}
ENDS = ("finished", "failed", "cancelled", "interrupted")

# How each state is reached, and what may follow in it: the drawing of the docstring.
WAYS: dict[str, list[str]] = {
    "asked": [],
    "waiting": ["started"],
    "streaming": ["started", "delta"],
    **{end: ["started", end] for end in ENDS},
    "queued": ["queued"],
    "dropped": ["queued", "dropped"],
}
ALLOWED = {
    ("asked", "started"): "waiting",
    ("asked", "queued"): "queued",
    ("queued", "queued"): "queued",
    ("queued", "started"): "waiting",
    ("queued", "dropped"): "dropped",
    ("waiting", "other"): "waiting",
    ("waiting", "delta"): "streaming",
    ("streaming", "delta"): "streaming",
    **{(state, end): end for state in ("asked", "waiting", "streaming") for end in ENDS},
}


def made(way: Iterable[str] = ()) -> Generation:
    generation = Generation("chat", "demo", "small")
    for name in way:
        generation.apply(EVENTS[name])
    return generation


def test_the_table_speaks_of_every_state() -> None:
    assert set(WAYS) == {state.value for state in State}
    for state, way in WAYS.items():
        assert made(way).state == state


@pytest.mark.parametrize(("state", "event"), list(product(WAYS, EVENTS)))
def test_each_event_in_each_state(state: str, event: str) -> None:
    generation = made(WAYS[state])
    terminal = generation.terminal
    after = ALLOWED.get((state, event))
    if after is None:
        with pytest.raises(ValueError, match=f"cannot follow in state {state}"):
            generation.apply(EVENTS[event])
        assert generation.state == state
        assert generation.terminal is terminal
    else:
        generation.apply(EVENTS[event])
        assert generation.state == after
    assert generation.ended == (generation.state in (*ENDS, "dropped"))


@given(st.lists(st.sampled_from(sorted(EVENTS)), max_size=12))
def test_whatever_comes_there_is_at_most_one_terminal_event_and_nothing_after_it(
    names: list[str],
) -> None:
    generation = made()
    taken: list[Event] = []
    for name in names:
        try:
            taken.append(generation.apply(EVENTS[name]))
        except ValueError:
            continue
    ends = [event for event in taken if isinstance(event, Finished | Failed)] + [
        event for event in taken if isinstance(event, Cancelled | Interrupted)
    ]
    assert len(ends) <= 1
    assert not ends or taken[-1] is ends[0] is generation.terminal
    assert sum(isinstance(event, Started) for event in taken) <= 1


def test_what_goes_into_the_stream_names_the_generation_and_the_time() -> None:
    generation = made()
    started = generation.apply(Started())
    assert started == Started(generation.id, "demo", "small", generation.started_at)
    call = ToolCall(0, "call_1", "look", "{}")
    delta = Delta(text="Hi", reasoning="hm", tool=call, extra={"refusal": True})
    told = generation.apply(delta)
    assert told == Delta(generation.id, "Hi", "hm", call, {"refusal": True})
    end = generation.apply(Finished(reason="length", extra={"x": 1}))
    assert isinstance(end, Finished)
    assert (end.generation, end.reason, end.extra) == (generation.id, "length", {"x": 1})
    assert end.at is not None
    assert end.at >= generation.started_at


def test_no_two_have_one_id() -> None:
    assert len({Generation("s", "u", None).id for _ in range(100)}) == 100


@pytest.mark.parametrize("end", ENDS)
def test_every_end_has_the_usage_that_the_upstream_told(end: str) -> None:
    generation = made(["started", "delta"])
    generation.usage = Usage(3, 40)
    told = generation.apply(EVENTS[end])
    assert isinstance(told, TERMINALS)
    assert told.usage == Usage(3, 40)


@pytest.mark.parametrize("end", ENDS)
def test_where_it_told_nothing_the_deltas_are_counted_and_it_is_said_so(end: str) -> None:
    generation = made(["started", "delta", "delta", "delta"])
    told = generation.apply(EVENTS[end])
    assert isinstance(told, TERMINALS)
    assert told.usage == Usage(completion_tokens=3, estimated=True)


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("end", ENDS)
def test_every_end_says_how_long_it_took(end: str) -> None:
    clock = Clock()
    generation = Generation("chat", "demo", "small", clock)
    for name, after in (("started", 0.0), ("other", 0.1), ("delta", 0.21), ("delta", 1.0)):
        clock.now += after
        generation.apply(EVENTS[name])
    clock.now += 2.89
    told = generation.apply(EVENTS[end])
    assert isinstance(told, TERMINALS)
    assert told.seconds == Seconds(first=0.31, total=4.2)
    assert generation.to_json()["seconds"] == {"first": 0.31, "total": 4.2}


@pytest.mark.parametrize("way", [[], ["started"], ["started", "other"]])
def test_where_nothing_was_said_there_is_no_first(way: list[str]) -> None:
    clock = Clock()
    generation = Generation("chat", "demo", "small", clock)
    for name in way:
        generation.apply(EVENTS[name])
    clock.now += 0.5
    told = generation.apply(Failed())
    assert isinstance(told, Failed)
    assert told.seconds == Seconds(total=0.5)
    assert to_json(told)["seconds"] == {"total": 0.5}


def test_a_running_one_does_not_say_yet() -> None:
    assert "seconds" not in made(["started", "delta"]).to_json()


def test_the_usage_of_the_terminal_event_itself_counts_most() -> None:
    generation = made(["started", "delta"])
    generation.usage = Usage(1, 1)
    told = generation.apply(Finished(usage=Usage(3, 40)))
    assert isinstance(told, Finished)
    assert told.usage == Usage(3, 40)


def test_it_shows_itself_while_it_runs_and_after() -> None:
    generation = made(["started", "delta"])
    generation.position = Position(1, 2)
    shown = generation.to_json()
    assert shown == {
        "id": generation.id,
        "stream": "chat",
        "position": "0000000000000001_0000000000000002",
        "upstream": "demo",
        "model": "small",
        "state": "streaming",
        "started_at": generation.started_at,
        "usage": {"completion_tokens": 1, "estimated": True},
    }
    generation.apply(EVENTS["failed"])
    shown = generation.to_json()
    assert (shown["state"], shown["code"]) == ("failed", "upstream_stalled")
    assert shown["message"] == "nothing came"
    assert shown["ended_at"] >= shown["started_at"]
    assert "reason" not in shown
    assert "reason" in made(["started", "finished"]).to_json()
