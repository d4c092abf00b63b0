"""The branches of a conversation: for the hub, its client and (in web/test) the page alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from hub.domain.branches import START, Branches
from hub.domain.conversation import Conversation
from hub.domain.conversation_view import ConversationView, Turn
from hub.domain.events import Event, Other, from_json
from hub.domain.records import Position

CASES: Final = orjson.loads((Path(__file__).parents[1] / "cases/branches.json").read_bytes())


def events_of(case: dict[str, Any]) -> list[Event]:
    return [from_json(event) for event in case["events"]]


def label(turn: Turn) -> str:
    return turn.generation or turn.text


def viewed(events: list[Event]) -> ConversationView:
    view = ConversationView()
    for offset, event in enumerate(events):
        view.hear(event, str(Position(1, offset + 1)))
    return view


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_a_reader_sees_the_branches(case: dict[str, Any]) -> None:
    view = viewed(events_of(case))
    assert [label(turn) for turn in view.turns] == case["turns"]
    turns = {label(turn): turn for name in case["branches"] for turn in _all(view)}
    for name, versions in case["versions"].items():
        assert [label(turn) for turn in view.versions(turns[name])] == versions
    for name, branch in case["branches"].items():
        assert [label(turn) for turn in view.branch(turns[name])] == branch


def _all(view: ConversationView) -> list[Turn]:
    """The turns of all branches."""
    found: dict[int, Turn] = {}
    left = view.turns
    while left:
        turn = left.pop()
        if turn.place not in found:
            found[turn.place] = turn
            left += [*view.branch(turn), *view.versions(turn)]
    return list(found.values())


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_the_hub_sends_an_upstream_the_same_branches(case: dict[str, Any]) -> None:
    """What is empty is not sent, so every reply says its name first."""
    conversation, positions = Conversation(), {}
    named = set()
    for event in case["events"]:
        generation = event.get("generation")
        if event["type"] == "message":
            positions[event["text"]] = str(Position(1, conversation.end + 1))
        elif generation not in named:
            named.add(generation)
            positions[generation] = str(Position(1, conversation.end + 1))
        conversation.take(from_json(event))
    texts = {name: [m["content"] for m in conversation.messages(conversation.newest(at)[0])]
             for name, at in positions.items()}  # fmt: skip
    silent = named - {event["generation"] for event in case["events"] if event["type"] == "delta"}
    spoken = {e["generation"]: e["text"] for e in case["events"] if e["type"] == "delta"}
    for name, branch in {**case["branches"], "": case["turns"]}.items():
        found = texts[name] if name else [m["content"] for m in conversation.messages()]
        assert found == [spoken.get(turn, turn) for turn in branch if turn not in silent]


def test_what_is_no_json_takes_a_place_all_the_same() -> None:
    """A position names the record that it named when it was told."""
    bodies = [b'{"type":"message","role":"user","text":"q1"}', b"nonsense", b"[1]"]
    bodies += [b'{"type":"message","role":"user","text":"q2"}']
    after = str(Position(1, 3))
    bodies += [orjson.dumps({"type": "message", "role": "user", "text": "q3", "after": after})]
    conversation = Conversation()
    conversation.read(bodies)
    assert conversation.end == 5
    assert [message["content"] for message in conversation.messages()] == ["q1", "q3"]


def test_the_reply_of_a_view_has_its_state() -> None:
    view = viewed([Other({"any": 1}), *events_of(CASES[0])])
    first, second = (turn for turn in view.turns if turn.generation)
    assert (first.state, first.text, second.state) == ("finished", "one", "running")
    assert first.position == str(Position(1, 3))


def test_many_that_go_back_cost_no_walk_over_the_others() -> None:
    """The names are kept, and a branch is only made when somebody asks for it."""
    branches: Branches[int] = Branches()
    for number in range(20_000):
        branches.add(number, number, [f"n{number}"])
    for number in range(20_000):
        branches.add(number, 20_000 + number, [], {"after": "n19999"})
    assert branches.find(None) is None
    assert branches.find(str(Position(0, 0))) == START
    assert len(branches.branch(branches.last)) == 20_001
