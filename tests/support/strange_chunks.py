"""Chunks that no provider should send, for a dialect that must not break on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from hypothesis import strategies as st

from hub.dialects import Dialect
from hub.domain.errors import UpstreamError
from hub.domain.events import Event
from hub.framing import Chunk
from tests.support.transcripts import ended, shown

__all__ = ["reads_without_breaking", "strange_chunks", "strange_values"]

STRINGS = st.text(st.sampled_from('a$.[0]/{}" \n字\ud83d\ude00'), max_size=8)


def strange_values(looked_for: str) -> st.SearchStrategy[Any]:
    """Any JSON value, with the words that a dialect looks for as keys and as strings."""
    words = looked_for.split()
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | STRINGS
        | st.sampled_from([*words, 10**400])
    )
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(words), inner, max_size=6)
        ),
        max_leaves=25,
    )


def strange_chunks(
    values: st.SearchStrategy[Any], around: Sequence[Callable[[Any], Any]]
) -> st.SearchStrategy[list[Chunk]]:
    """Chunks right down to one place, where anything may stand: ``around`` are the places."""
    nearly = st.one_of([values, *(values.map(place) for place in around)])
    body = nearly.map(lambda value: json.dumps(value).encode())
    return st.lists(
        st.builds(Chunk, body, st.sampled_from(["", "", "", "error", "message_stop"]))
        | st.builds(Chunk, st.binary(max_size=20))
        | st.just(Chunk(b"[DONE]")),
        max_size=8,
    )


def reads_without_breaking(dialect: Dialect, chunks: Iterable[Chunk]) -> None:
    """Check that there is one terminal at most, last, and no error but `UpstreamError`."""
    events: list[Event] = []
    with suppress(UpstreamError):
        for chunk in chunks:
            found = list(dialect.events(chunk))
            assert not (ended(events) and found), "nothing follows the end"
            events += found
    events += dialect.close(clean=True)
    assert sum(ended([event]) for event in events) <= 1
    assert not ended(events[:-1])
    assert not list(dialect.close(clean=True))
    for event in events:
        shown(event)
