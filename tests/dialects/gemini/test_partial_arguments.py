"""Partial arguments: values with their places become the text of one JSON object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.dialects.gemini.partial_arguments import DEPTH, PartialArguments
from hub.domain.errors import UpstreamError


def written(*pieces: Any) -> Any:
    arguments = PartialArguments()
    text = "".join([*map(arguments.add, pieces), arguments.end()])
    return orjson.loads(text)


def test_no_values_are_no_arguments() -> None:
    assert written() == {}


def test_each_piece_adds_to_the_end() -> None:
    arguments = PartialArguments()
    pieces = [
        {"jsonPath": "$.a.b[0]", "stringValue": "x", "willContinue": True},
        {"jsonPath": "$.a.b[0]", "stringValue": '"y'},
        {"jsonPath": "$.a.b[1]", "boolValue": False},
        {"jsonPath": "$.c", "nullValue": "NULL_VALUE"},
    ]
    assert [arguments.add(piece) for piece in pieces] == [
        '{"a":{"b":["x',
        '\\"y',
        '",false',
        ']},"c":null',
    ]
    assert arguments.end() == "}"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.a", {"a": 1}),
        ("$['a b']", {"a b": 1}),
        ('$["a.b"][0]', {"a.b": [1]}),
        (r"$['it\'s']", {"it's": 1}),
        ("$.a['']", {"a": {"": 1}}),
        ("$.字[0][0].x", {"字": [[{"x": 1}]]}),
    ],
)
def test_paths(path: str, expected: Any) -> None:
    assert written({"jsonPath": path, "numberValue": 1}) == expected


def test_an_entry_without_a_value_says_nothing() -> None:
    assert written({"jsonPath": "$.a"}, {"jsonPath": "$.a", "numberValue": 1}) == {"a": 1}


def test_half_a_character_waits_for_the_other() -> None:
    arguments = PartialArguments()
    said = ["a\ud83d", "\ude00", "\ud83d"]
    text = "".join(arguments.add({"jsonPath": "$.a", "stringValue": piece}) for piece in said)
    assert orjson.loads(text + arguments.end()) == {"a": "a😀\ufffd"}


@pytest.mark.parametrize(
    "pieces",
    [
        [5],
        [{}],
        [{"jsonPath": 5}],
        [{"jsonPath": "a"}],
        [{"jsonPath": "$"}],
        [{"jsonPath": "$..a"}],
        [{"jsonPath": "$.a[*]"}],
        [{"jsonPath": "$.a[-1]"}],
        [{"jsonPath": "$[0]"}],
        [{"jsonPath": "$.a[1]"}],
        [{"jsonPath": "$.a[999999999]"}],
        [{"jsonPath": "$" + ".a" * (DEPTH + 1)}],
        [{"jsonPath": "$.a"}, {"jsonPath": "$.b"}, {"jsonPath": "$.a"}],
        [{"jsonPath": "$.a.b"}, {"jsonPath": "$.c"}, {"jsonPath": "$.a.d"}],
        [{"jsonPath": "$.a[0]"}, {"jsonPath": "$.a.b"}],
        [{"jsonPath": "$.a"}, {"jsonPath": "$.a.b"}],
    ],
    ids=str,
)
def test_what_cannot_be_added_is_an_error(pieces: list[Any]) -> None:
    arguments = PartialArguments()
    numbers = [{"numberValue": 1, **held} if isinstance(held, dict) else held for held in pieces]
    with pytest.raises(UpstreamError) as caught:
        list(map(arguments.add, numbers))
    assert caught.value.code == "upstream_malformed"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, min_size=1, max_size=3)
    ),
    max_leaves=12,
)


def told(value: Any, path: str) -> Iterator[dict[str, Any]]:
    """A value as Gemini streams it, strings in pieces of two characters."""
    if isinstance(value, dict):
        for key, inner in value.items():
            escaped = key.replace("\\", "\\\\").replace("'", "\\'")
            yield from told(inner, f"{path}['{escaped}']")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from told(inner, f"{path}[{place}]")
    elif isinstance(value, str):
        for start in range(0, len(value), 2):
            piece = value[start : start + 2]
            yield {"jsonPath": path, "stringValue": piece, "willContinue": True}
        yield {"jsonPath": path, "stringValue": ""}
    elif isinstance(value, bool):
        yield {"jsonPath": path, "boolValue": value}
    elif value is None:
        yield {"jsonPath": path, "nullValue": None}
    else:
        yield {"jsonPath": path, "numberValue": value}


@given(held=st.dictionaries(st.text(max_size=4), VALUES, max_size=4))
def test_every_object_comes_out_as_it_was(held: dict[str, Any]) -> None:
    assert written(*told(held, "$")) == held
