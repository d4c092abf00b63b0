"""Which options ask for something, and which are refused."""

from __future__ import annotations

from typing import Any, Final

import pytest

from hub import dialects
from hub.dialects.request.request_options import no_option, requested_options
from hub.domain.errors import RequestError
from hub.domain.prompt import Prompt

TOOL: Final = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
TRANSLATING: Final = ("anthropic", "cohere", "gemini", "ollama", "openai-responses")
HARMLESS: Final[list[dict[str, Any]]] = [
    {"n": 1},
    {"n": None},
    {"seed": None},
    {"stream": True},
    {"stream_options": {"include_usage": True}},
    {"logprobs": False},
    {"top_logprobs": 0},
    {"presence_penalty": 0},
    {"frequency_penalty": 0.0},
    {"repetition_penalty": 1},
    {"min_p": 0},
    {"logit_bias": {}},
    {"metadata": {}},
    {"metadata": {"thread": "7"}},
    {"modalities": ["text"]},
    {"parallel_tool_calls": True},
    {"parallel_tool_calls": False},
    {"tool_choice": "auto"},
    {"tool_choice": "none"},
    {"function_call": "auto"},
    {"prediction": {"type": "content", "content": "x"}},
    {"prompt_cache_key": "key"},
    {"prompt_cache_retention": "24h"},
    {"safety_identifier": "someone"},
    {"service_tier": "auto"},
    {"service_tier": "default"},
    {"stop": []},
    {"store": False},
    {"store": True},
    {"tools": []},
    {"functions": []},
    {"response_format": {"type": "text"}},
    {"user": "someone"},
    {"verbosity": "medium"},
]
"""What clients send with every request, and no answer is different for."""


def refused(**options: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        requested_options(options, "some", {"tools"})
    return caught.value


@pytest.mark.parametrize("options", HARMLESS, ids=str)
def test_what_no_answer_is_different_for_asks_for_nothing(options: dict[str, Any]) -> None:
    assert requested_options(options, "some", {"temperature"}) == {}


@pytest.mark.parametrize("options", HARMLESS, ids=str)
@pytest.mark.parametrize("dialect", TRANSLATING)
def test_no_dialect_refuses_what_no_answer_is_different_for(
    dialect: str, options: dict[str, Any]
) -> None:
    asked = Prompt(({"role": "user", "content": "Hi"},), "m-1", options)
    assert dialects.find(dialect)({}).call(asked).body


@pytest.mark.parametrize(
    "options",
    [
        {"n": 2},
        {"presence_penalty": 1},
        {"modalities": ["text", "audio"]},
        {"service_tier": "flex"},
        {"verbosity": "low"},
        {"tool_choice": "required"},
        {"tool_choice": "none", "tools": [TOOL]},
    ],
    ids=str,
)
def test_what_an_answer_is_different_for_is_refused_by_its_name(options: dict[str, Any]) -> None:
    error = refused(**options)
    name = next(iter(options))
    assert error.code == "unsupported_option"
    assert error.message == f'the dialect "some" cannot ask for "{name}": leave it out'


@pytest.mark.parametrize(
    ("options", "instead"),
    [
        ({"parallel_tool_calls": False, "tools": [TOOL]}, "answer every call of a reply"),
        ({"stop": "END"}, "cut the text yourself"),
        ({"top_logprobs": 2}, "leave it out"),
    ],
)
def test_a_refusal_says_what_to_do_instead(options: dict[str, Any], instead: str) -> None:
    error = refused(**options)
    name = next(iter(options))
    assert (error.code, error.param) == ("unsupported_option", name)
    assert error.message.startswith(f'the dialect "some" cannot ask for "{name}": its ')
    assert instead in error.message


def test_what_there_is_a_word_for_is_passed_on() -> None:
    options = {"user": "me", "presence_penalty": 0, "metadata": {"a": "b"}, "store": True}
    assert requested_options(options, "some", set(options)) == options


def test_a_refusal_can_say_why_and_is_never_long() -> None:
    assert no_option("x" * 1000, "d", "why").message.endswith('x": why')
    assert len(no_option("x" * 1000, "d").message) < 200
