"""Whatever is said is heard, however it was cut on the way; and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain import errors
from hub.domain.errors import HubError, ProducerFenced, ProducerGap, StoreError, StreamClosed
from hub.domain.producers import Stamp
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores.coordinator import codec
from hub.stores.coordinator.codec import Damaged, Message, Parser, encode
from hub.stores.packed import pack
from hub.stores.shared import Entry, Notice, State, Ticked, Written

NUMBERS = st.integers(0, 2**53)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
BODIES = st.lists(st.binary(max_size=20), max_size=5)
WORDS = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS, lambda inner: st.lists(inner, max_size=4)
)
MESSAGES = st.tuples(
    st.tuples(NUMBERS, WORDS).map(list) | st.tuples(NUMBERS, WORDS, WORDS).map(list), BODIES
)
STAMPS = st.builds(Stamp, TEXTS, NUMBERS, NUMBERS)
FORKS = st.none() | st.builds(Fork, TEXTS, NUMBERS)
SETTINGS = st.builds(
    StreamSettings,
    *(TEXTS, st.none() | NUMBERS, st.none() | TEXTS, FORKS, st.none() | TEXTS, st.none() | TEXTS),
)
WRITTEN = st.builds(
    Written,
    *(NUMBERS, NUMBERS, NUMBERS, st.booleans(), st.booleans(), st.none() | NUMBERS),
)
STATES = st.builds(
    State,
    settings=SETTINGS,
    born=NUMBERS,
    epochs=st.lists(st.tuples(NUMBERS, NUMBERS), max_size=3).map(tuple),
    life=NUMBERS,
    head=NUMBERS,
    tail=NUMBERS,
    change=NUMBERS,
    entries=st.lists(st.builds(Entry, NUMBERS, BODIES), max_size=3),
    producers=st.dictionaries(TEXTS, st.tuples(NUMBERS, NUMBERS), max_size=3),
    closed=st.booleans(),
    closed_by=st.none() | STAMPS,
    sequence=st.none() | TEXTS,
    hidden=st.booleans(),
    forks=NUMBERS,
    expires=st.none() | NUMBERS,
    running=st.none() | TEXTS,
    node=TEXTS,
    number=NUMBERS,
    began=TEXTS,
)
TOLD = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.just(True) for name in ("reload", "closed", "removed", "hidden")},
        **dict.fromkeys(("closed_by", "stamp"), STAMPS),
        **dict.fromkeys(("sequence", "running", "node", "began", "owner"), TEXTS),
        **dict.fromkeys(("number", "head", "expires"), NUMBERS),
    },
)


def words_of(message: bytes) -> Message:
    (found,) = Parser().feed(message)
    return found


@given(st.lists(MESSAGES, max_size=5), st.data())
def test_messages_come_back_however_they_are_cut(
    messages: list[tuple[list[Any], list[bytes]]], data: st.DataObject
) -> None:
    stream = b"".join(encode(words, bodies) for words, bodies in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    parser = Parser()
    found: list[Message] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += parser.feed(stream[start:end])
    assert [(one.words, one.bodies) for one in found] == messages


@given(st.binary(max_size=60))
def test_whatever_else_comes_is_waited_for_or_refused(data: bytes) -> None:
    try:
        found = Parser(1000).feed(data)
    except Damaged:
        return
    for one in found:
        assert isinstance(one.words[0], int)


@pytest.mark.parametrize(
    "words", [b"1", b"{}", b"[]", b"[1]", b'["a", 1]', b"[1, 2", b"\xff", b"[null, 1]"]
)
def test_words_are_a_number_and_more(words: bytes) -> None:
    with pytest.raises(Damaged):
        Parser().feed(len(words).to_bytes(4) + bytes(4) + words)


def test_a_message_that_is_too_long_is_refused_before_it_has_come() -> None:
    assert Parser(100).feed((50).to_bytes(4) + (50).to_bytes(4)) == []
    with pytest.raises(Damaged):
        Parser(100).feed((50).to_bytes(4) + (51).to_bytes(4))


@given(SETTINGS)
def test_settings_come_back(settings: StreamSettings) -> None:
    words = words_of(encode((1, codec.settings_words(settings)))).words[1]
    found = codec.settings_from(words)
    assert (found, found.owner, found.creator) == (settings, settings.owner, settings.creator)


@given(STATES)
def test_states_come_back(state: State) -> None:
    bodies = [body for entry in state.entries for body in entry.bodies]
    message = words_of(encode((1, codec.state_words(state)), bodies))
    assert codec.state_from(message.words[1], message.bodies) == state


@given(STATES, BODIES)
def test_a_state_with_other_bodies_is_damaged(state: State, more: list[bytes]) -> None:
    bodies = [body for entry in state.entries for body in entry.bodies]
    words = words_of(encode((1, codec.state_words(state)))).words[1]
    if more:
        with pytest.raises(Damaged):
            codec.state_from(words, bodies + more)


@given(TEXTS, NUMBERS, NUMBERS, NUMBERS, TOLD, BODIES)
def test_changes_come_back(
    stream: str, change: int, epoch: int, first: int, told: dict[str, Any], bodies: list[bytes]
) -> None:
    message = words_of(codec.notice_message(stream, change, epoch, first, told, bodies))
    found = codec.notice_from(message)
    assert found == (stream, Notice(change, epoch, first, bodies, **told))


@pytest.mark.parametrize(
    "words", [[0, "s"], [0, "s", 1, 2, 3, []], [0, "s", 1, 2, 3, {"x": 1}], [0, "s", 1, 2, 3, 4]]
)
def test_what_is_no_change_is_damaged(words: list[Any]) -> None:
    with pytest.raises(Damaged):
        codec.notice_from(Message(words))
    with pytest.raises(Damaged):
        codec.notice_from(Message([0, "s", 1, 2, 3, {}], pack([b"a"])[:-1]))


@given(WRITTEN, st.none() | NUMBERS, st.booleans())
def test_what_came_of_a_write_comes_back(
    written: Written, number: int | None, cancelled: bool
) -> None:
    for ticked in (Ticked(written, number, cancelled), Ticked(None, number, cancelled)):
        words = words_of(encode((1, ticked))).words[1]
        assert codec.ticked_from(words) == ticked
    assert codec.written_from(words_of(encode((1, written))).words[1]) == (written)


@pytest.mark.parametrize(
    "error",
    [
        StreamClosed("m", position="p"),
        StreamClosed("m", code="generation_ended"),
        ProducerFenced("m", epoch=3),
        ProducerGap("m", expected=1, received=3),
        *(
            getattr(errors, name)("m", code="c")
            for name in ("Conflict", "Gone", "StoreError", "StreamBusy", "StreamNotFound")
        ),
        errors.RequestError("m", code="producer_epoch"),
    ],
)
def test_errors_come_back(error: HubError) -> None:
    found = codec.error_from(words_of(encode((1, *codec.error_words(error)))).words[1:])
    assert type(found) is type(error)
    assert vars(found) == vars(error)


@pytest.mark.parametrize("name", ["Newer", "Mapping", "printable"])
def test_an_error_that_is_not_known_is_the_stores(name: str) -> None:
    found = codec.error_from([name, "m", "c", 1])
    assert type(found) is StoreError
    assert (found.message, found.code) == ("m", "c")
