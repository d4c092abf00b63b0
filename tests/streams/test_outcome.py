"""What a write says has become of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hub.domain.errors import (
    Conflict,
    HubError,
    ProducerFenced,
    ProducerGap,
    StreamBusy,
    StreamClosed,
    StreamNotFound,
)
from hub.domain.outcome import Outcome
from hub.domain.producers import Stamp
from hub.domain.records import Position
from hub.streams.stream import JSON, Body, Stream
from tests.support.record_writers import Writing

ONE: list[Body] = [(b"1", None)]
TWO: list[Body] = [(b"1", None), (b"2", None)]


def made(position: Position, *, closed: bool, **more: Any) -> Outcome:
    return Outcome(position, closed, JSON, **more)


def test_a_write_says_where_the_stream_ends() -> None:
    stream = Stream("s", epoch=7)
    assert stream.write(TWO) == made(Position(7, 2), closed=False)
    assert stream.write(ONE, close=True) == made(Position(7, 3), closed=True)


def test_an_outcome_does_not_move_on_with_its_stream() -> None:
    stream = Stream("s")
    first = stream.write(ONE)
    stream.write(TWO, close=True)
    assert first == made(Position(0, 1), closed=False)


def test_a_duplicate_writes_nothing_and_says_what_is_accepted() -> None:
    stream = Stream("s")
    for number in range(3):
        assert stream.write(ONE, stamp=Stamp("p", 0, number)).number == number
    again = stream.write(TWO, stamp=Stamp("p", 0, 1))
    assert again == made(Position(0, 3), closed=False, duplicate=True, number=2)
    assert stream.end == 3


def test_a_close_that_comes_again_is_a_duplicate() -> None:
    stream = Stream("s")
    stamp = Stamp("p", 0, 0)
    done = stream.write(ONE, stamp=stamp, close=True)
    assert stream.write(TWO, stamp=stamp, close=True) == made(
        done.position, closed=True, duplicate=True, number=0
    )
    assert stream.write((), close=True).duplicate
    for bodies, other, close in ((ONE, None, False), (ONE, None, True), ((), (0, 1), True)):
        later = None if other is None else Stamp("p", *other)
        with pytest.raises(StreamClosed) as closed:
            stream.write(bodies, stamp=later, close=close)
        assert closed.value.position == str(done.position)


def _fenced(stream: Stream) -> None:
    stream.write(ONE, stamp=Stamp("p", 1, 0))
    stream.write(ONE, stamp=Stamp("p", 0, 1))


def _gap(stream: Stream) -> None:
    stream.write(ONE, stamp=Stamp("p", 0, 1))


def _sequence(stream: Stream) -> None:
    stream.write(ONE, sequence="b")
    stream.write(ONE, sequence="b")


def _busy(stream: Stream) -> None:
    stream.writer = Writing()
    stream.write(ONE, close=True)


def _gone(stream: Stream) -> None:
    stream.gone = stream.sealed = True
    stream.write((), close=True)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (_fenced, ProducerFenced),
        (_gap, ProducerGap),
        (_sequence, Conflict),
        (_busy, StreamBusy),
        (_gone, StreamNotFound),
    ],
)
def test_what_is_refused_leaves_the_stream_as_it_was(
    wrong: Callable[[Stream], None], error: type[HubError]
) -> None:
    stream = Stream("s")
    with pytest.raises(error):
        wrong(stream)
    assert stream.end in (0, 1), "only what was taken before"
    assert stream.sealed is stream.gone
