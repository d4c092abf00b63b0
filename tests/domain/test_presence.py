"""However often somebody looks, what they were told adds up to who is there."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hub.domain.presence import NOBODY, Presence, View
from tests.support.strategies import examples


class Listener:
    """Somebody who is told of the differences, and adds them up."""

    def __init__(self) -> None:
        self.told: View = NOBODY
        self.seen: dict[str, bytes] = {}

    def look(self, presence: Presence) -> None:
        joined, left = presence.since(self.told)
        self.told = presence.view
        assert not {member for member, _ in joined} & set(left)
        for member in left:
            del self.seen[member]  # whoever left had been seen
        for member, state in joined:
            self.seen[member] = state


names = st.sampled_from(["a", "b", "c"])
states = st.sampled_from([b"1", b"2"])
steps = st.lists(
    st.tuples(st.just("put"), names, states)
    | st.tuples(st.just("remove"), names)
    | st.tuples(st.just("publish"))
    | st.tuples(st.just("look"), st.integers(0, 2)),
    min_size=20,
    max_size=60,
)


@examples(150)
@given(steps)
def test_what_each_was_told_adds_up_to_who_is_there(taken: list[tuple[Any, ...]]) -> None:
    presence, listeners, now = Presence(), [Listener() for _ in range(3)], dict[str, bytes]()
    shown: dict[str, bytes] = {}
    for step in taken:
        match step:
            case "put", member, state:
                presence.put(member, state)
                now[member] = state
            case "remove", member:
                presence.remove(member)
                now.pop(member, None)
            case "look", number:
                listeners[number].look(presence)
                assert listeners[number].seen == shown, "what was last published, no more"
            case _:
                before = dict(shown)
                assert presence.publish() == (now != before)
                shown = dict(now)
    presence.publish()
    assert len(presence) == len(now)
    for listener in listeners:
        listener.look(presence)
        assert listener.seen == now
        assert presence.since(listener.told) == ([], [])


def test_only_what_changed_is_told() -> None:
    presence = Presence()
    presence.put("a", b"1")
    presence.put("b", b"1")
    presence.publish()
    told = presence.view
    presence.put("b", b"2")
    presence.put("c", b"1")
    presence.remove("c")
    presence.put("a", b"1")
    presence.publish()
    assert presence.since(told) == ([("b", b"2")], [])
    assert presence.since(NOBODY) == ([("a", b"1"), ("b", b"2")], [])


def test_changes_that_come_to_nothing_are_no_new_view() -> None:
    presence = Presence()
    presence.put("a", b"1")
    presence.publish()
    view = presence.view
    for _ in range(100):
        presence.put("a", b"2")
        presence.put("b", b"1")
        presence.remove("b")
        presence.put("a", b"1")
    presence.remove("nobody")
    assert not presence.publish()
    assert presence.view is view


def test_what_is_kept_does_not_grow_with_what_has_happened() -> None:
    presence = Presence()
    presence.put("stays", b"1")
    presence.publish()
    told = presence.view
    for number in range(1000):
        presence.put(f"guest {number}", b"1")
        presence.publish()
        presence.remove(f"guest {number}")
        presence.publish()
    assert set(presence.view.members) == {"stays"}
    assert set(presence._states) == {"stays"}
    assert not presence._touched
    assert presence.since(told) == ([], []), "guests that it never saw are none that left"
