"""Which JSON values are integers, and that all that read one agree on it."""

from __future__ import annotations

from typing import Any, Final

import pytest
from pydantic import BaseModel, ValidationError

from hub.dialects.request.chat_request import ChatRequest
from hub.domain.errors import RequestError
from hub.domain.events import from_json
from hub.domain.integers import EXACT, as_integer
from hub.domain.prompt import Prompt
from hub.protocols.generations import QueueChange
from hub.protocols.openai.chat import CompletionAsked
from hub.protocols.openai.responses_request import ResponseAsked
from hub.protocols.shares import ShareAsked, TicketAsked
from hub.protocols.websocket.commands import Requeue

INTEGERS: Final = [(1, 1), (2, 2), (2.0, 2), (20.0, 20), (1e1, 10)]
OTHERS: Final[list[Any]] = [
    0.5, 2.5, "2", True, False, [2], {}, 1e30, float(EXACT), EXACT, float("inf"), float("nan"),
]  # fmt: skip

CHAT: Final = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
FIELDS: Final[list[tuple[type[BaseModel], str, dict[str, Any]]]] = [
    (QueueChange, "place", {}),
    (Requeue, "place", {"type": "requeue", "generation": "gen_1"}),
    (ShareAsked, "expires_in", {"stream": "s"}),
    (TicketAsked, "expires_in", {"stream": "s"}),
    (CompletionAsked, "n", CHAT),
    (ResponseAsked, "max_output_tokens", {"model": "m", "input": "Hi"}),
    (ResponseAsked, "top_logprobs", {"model": "m", "input": "Hi"}),
    (ResponseAsked, "max_tool_calls", {"model": "m", "input": "Hi"}),
    (ResponseAsked, "seed", {"model": "m", "input": "Hi"}),
]
IDS: Final = [f"{model.__name__}-{field}" for model, field, _ in FIELDS]


@pytest.mark.parametrize(("value", "expected"), [*INTEGERS, (0.0, 0), (-3.0, -3), (-0.0, 0)])
def test_an_integer(value: Any, expected: int) -> None:
    found = as_integer(value)
    assert found == expected
    assert type(found) is int


@pytest.mark.parametrize("value", [*OTHERS, None])
def test_no_integer(value: Any) -> None:
    assert as_integer(value) is None


@pytest.mark.parametrize(("model", "field", "rest"), FIELDS, ids=IDS)
@pytest.mark.parametrize(("value", "expected"), INTEGERS)
def test_a_field_that_is_an_integer(
    model: type[BaseModel], field: str, rest: dict[str, Any], value: Any, expected: int
) -> None:
    found = getattr(model.model_validate({**rest, field: value}), field)
    assert found == expected
    assert type(found) is int


@pytest.mark.parametrize(("model", "field", "rest"), FIELDS, ids=IDS)
@pytest.mark.parametrize("value", OTHERS)
def test_a_field_that_is_none(
    model: type[BaseModel], field: str, rest: dict[str, Any], value: Any
) -> None:
    with pytest.raises(ValidationError):
        model.model_validate({**rest, field: value})


@pytest.mark.parametrize(("value", "expected"), INTEGERS)
def test_the_length_of_an_answer(value: Any, expected: int) -> None:
    prompt = Prompt(messages=({"role": "user", "content": "Hi"},), options={"max_tokens": value})
    assert ChatRequest("anthropic", prompt, ("max_tokens",)).max_tokens == expected


@pytest.mark.parametrize("value", OTHERS)
def test_no_length_of_an_answer(value: Any) -> None:
    prompt = Prompt(messages=({"role": "user", "content": "Hi"},), options={"max_tokens": value})
    with pytest.raises(RequestError):
        _ = ChatRequest("anthropic", prompt, ("max_tokens",)).max_tokens


def test_the_place_of_a_tool_call_in_an_event() -> None:
    tool = {"index": 1.0, "id": "call", "name": "f", "arguments": "{}"}
    event: Any = from_json({"type": "delta", "generation": "gen_1", "tool": tool})
    assert event.tool.index == 1
    assert type(event.tool.index) is int
