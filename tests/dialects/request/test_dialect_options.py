"""A mistyped option is one clear error that names the nearest."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from hub.dialects.demo.reader import Demo
from hub.dialects.json import Json
from hub.dialects.ollama import Ollama
from hub.dialects.openai_chat import OpenAIChat
from hub.dialects.request.dialect_options import Options
from hub.dialects.text import Text
from hub.domain.errors import ConfigError

DIALECTS = [Demo, Json, Ollama, OpenAIChat, Text]


@pytest.mark.parametrize(
    ("make", "options", "says"),
    [
        (OpenAIChat, {"includ_usage": False}, 'did you mean "include_usage"?'),
        (OpenAIChat, {"include_usage": "no"}, '"include_usage" of dialect "openai-chat" must be'),
        (OpenAIChat, {"think": 1}, "true or false"),
        (Ollama, {"thinks": True}, 'did you mean "think"?'),
        (Text, {"inputs": "q"}, 'did you mean "input"?'),
        (Text, {"input": ""}, "a string that is not empty"),
        (Json, {"txt": "a"}, 'did you mean "text"?'),
        (Json, {"done": None}, "a string that is not empty"),
        (Json, {"framing": "ndjsn"}, 'did you mean "ndjson"?'),
        (Json, {"framing": ["sse"]}, "one of array, concatenated, json-seq, ndjson, sse"),
        (Demo, {"speed": 3}, "it takes pace"),
        (Demo, {"pace": 0}, "a number above 0"),
        (Demo, {"pace": True}, "a number above 0"),
        (Demo, {"pace": "fast"}, "a number above 0"),
        (Demo, {"pace": math.nan}, "a number above 0"),
        (Demo, {"pace": 10**400}, "a number above 0"),
    ],
)
def test_says_what_is_wrong(
    make: Callable[[Mapping[str, Any]], object], options: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make(options)
    assert says in str(caught.value)
    assert caught.value.code == "config_invalid"


@pytest.mark.parametrize("make", DIALECTS)
def test_every_dialect_does_without_options(make: Callable[[Mapping[str, Any]], object]) -> None:
    make({})


@pytest.mark.parametrize("make", DIALECTS)
def test_every_dialect_refuses_what_it_does_not_know(
    make: Callable[[Mapping[str, Any]], object],
) -> None:
    with pytest.raises(ConfigError, match='has no option "api_kee"'):
        make({"api_kee": "x"})


def test_gives_what_was_set_and_else_the_default() -> None:
    options = Options("x", {"f": False, "t": "a", "n": 2, "c": "b"}, ("f", "t", "n", "c", "g", "u"))
    assert options.flag("f", True) is False
    assert options.flag("g", True) is True
    assert options.text("t", "z") == "a"
    assert options.text("u", "z") == "z"
    assert options.maybe("t") == "a"
    assert options.maybe("u") is None
    assert options.number("n", 5) == 2.0
    assert options.number("m", 5) == 5.0
    assert options.choice("c", ("a", "b")) == "b"
    assert options.choice("d", ("a", "b")) is None


def test_a_dialect_without_options_says_that_it_takes_none() -> None:
    with pytest.raises(ConfigError, match="it takes none"):
        Options("own", {"think": True})
