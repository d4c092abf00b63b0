"""Hypothesis strategies: any event, any record, any text that a model could write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st

from hub.domain.events import (
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Interrupted,
    Message,
    Other,
    Seconds,
    Started,
    ToolCall,
    Usage,
    encode,
)
from hub.domain.records import Record

__all__ = [
    "events",
    "examples",
    "json_objects",
    "json_values",
    "others",
    "quick",
    "records",
    "runs_of_deltas",
    "texts",
]


def examples(count: int) -> settings:
    """So many examples of a test, but in `make test-fast` no more than any other has there."""
    usual = settings()
    fast = settings.get_current_profile_name() == "fast"
    return settings(max_examples=min(count, usual.max_examples) if fast else count)


quick: Final = examples(40)
"""For what is slow to make up: enough to find what there is to find within days."""

# Everything that UTF-8 can hold; half a surrogate pair is not text.
texts: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
words: Final = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
maybe_words: Final = st.none() | words

json_values: Final[st.SearchStrategy[Any]] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
json_objects: Final = st.dictionaries(texts, json_values, max_size=4)

_KINDS: Final = (Message, Started, Delta, Finished, Failed, Cancelled, Interrupted)
_TYPES: Final = [kind.__name__.lower() for kind in _KINDS]
_FIELDS: Final = {name for kind in _KINDS for name in kind.__dataclass_fields__} - {"extra"}
_extras: Final[st.SearchStrategy[dict[str, Any]]] = st.just({}) | st.dictionaries(
    texts.filter(lambda name: name not in {"type", *_FIELDS}), json_values, max_size=2
)
_counts: Final = st.none() | st.integers(0, 10**9)
_usages: Final = st.none() | st.builds(
    Usage, _counts, _counts, _counts, _counts, estimated=st.booleans()
)
_generations: Final = st.sampled_from(["gen_1", "gen_2", ""])
_times: Final = st.floats(0, 1e6) | st.integers(0, 1000)
_seconds: Final = st.none() | st.builds(Seconds, st.none() | _times, _times)
_calls: Final = st.builds(ToolCall, st.integers(0, 2), maybe_words, maybe_words, texts)

deltas: Final = (
    st.builds(Delta, _generations, text=words, extra=_extras)
    | st.builds(Delta, _generations, reasoning=words, extra=_extras)
    | st.builds(Delta, _generations, tool=_calls, extra=_extras)
    | st.builds(Delta, _generations, texts, texts, st.none() | _calls, _extras)
)
_roles: Final = st.sampled_from(["system", "user", "assistant", "tool"])
_reasons: Final = st.sampled_from(["stop", "length", "tool", "filter"])
_named: Final = st.fixed_dictionaries(
    {"type": texts.filter(lambda kind: kind not in _TYPES) | st.integers(-9, 9) | st.none()}
)
others: Final = st.builds(
    lambda more, named: Other({**more, **named}), json_objects, st.just({}) | _named
).filter(lambda other: other.object.get("type") not in _TYPES)

events: Final[st.SearchStrategy[Event]] = (
    deltas
    | st.builds(Message, _roles, texts, maybe_words, maybe_words, _extras)
    | st.builds(Started, _generations, texts, maybe_words, maybe_words, _usages, _extras)
    | st.builds(Finished, _generations, _reasons, _usages, _seconds, maybe_words, _extras)
    | st.builds(Failed, _generations, texts, texts, _usages, _seconds, maybe_words, _extras)
    | st.builds(Cancelled, _generations, _usages, _seconds, maybe_words, _extras)
    | st.builds(Interrupted, _generations, _usages, _seconds, maybe_words, _extras)
    | others
)


def _numbered(first: int, held: Sequence[Event]) -> list[Record]:
    return [Record(first + place, encode(event), event) for place, event in enumerate(held)]


records: Final = st.builds(_numbered, st.integers(0, 1000), st.lists(events, max_size=12))

# Deltas of few kinds, so that neighbours often are of one kind.
_plain: Final = (
    st.builds(Delta, st.sampled_from(["a", "b"]), text=texts)
    | st.builds(Delta, st.just("a"), reasoning=texts)
    | st.builds(
        Delta,
        st.just("a"),
        tool=st.builds(
            ToolCall,
            st.integers(0, 1),
            st.sampled_from([None, None, None, "", "call_1", "call_2"]),
            st.sampled_from([None, None, None, "", "look", "tell"]),
            texts,
        ),
    )
)
runs_of_deltas: Final = st.builds(
    _numbered, st.integers(0, 1000), st.lists(_plain | deltas | events, max_size=20)
)
