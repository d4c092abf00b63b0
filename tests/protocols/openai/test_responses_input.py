"""What a response was asked, listed as items."""

from __future__ import annotations

from typing import Any, Final

import pytest

from hub.domain.errors import RequestError
from hub.protocols.openai.responses_input import input_items, input_page
from hub.protocols.openai.responses_request import ResponseAsked

ASKED: Final[list[dict[str, Any]]] = [
    {"role": "developer", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "low"},
        ],
    },
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hm"}]},
    {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"a":1}'},
    {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
]


def items() -> list[dict[str, Any]]:
    asked = ResponseAsked.model_validate({"model": "m", "input": ASKED})
    return input_items("gen_1", asked.messages())


def test_items_become_items_again() -> None:
    first, question, said, call, result = items()
    assert (first["role"], first["content"]) == (
        "developer",
        [{"type": "input_text", "text": "Be brief."}],
    )
    assert question["content"] == [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "detail": "low", "image_url": "https://example.org/a.png"},
    ]
    assert [part["text"] for part in said["content"]] == ["Hm"]
    assert (call["call_id"], call["name"], call["arguments"]) == ("c1", "look", '{"a":1}')
    assert (result["call_id"], result["output"]) == ("c1", "a cat")
    kinds = ["message", "message", "message", "function_call", "function_call_output"]
    assert [item["type"] for item in items()] == kinds
    assert len({item["id"] for item in items()}) == len(kinds)


def test_pages() -> None:
    every = [item["id"] for item in items()]
    whole = input_page(items(), after=None, limit=None, order=None)
    assert [item["id"] for item in whole["data"]] == every[::-1]
    assert not whole["has_more"]
    first = input_page(items(), after=None, limit="2", order="asc")
    assert (first["first_id"], first["last_id"], first["has_more"]) == (every[0], every[1], True)
    last = input_page(items(), after=every[1], limit="3", order="asc")
    assert [item["id"] for item in last["data"]] == every[2:]
    assert not last["has_more"]
    beyond = input_page(items(), after=every[-1], limit=None, order="asc")
    assert (beyond["data"], beyond["last_id"], beyond["has_more"]) == ([], None, False)


@pytest.mark.parametrize(
    "wrong",
    [{"limit": "0"}, {"limit": "101"}, {"limit": "many"}, {"order": "up"}, {"after": "msg_9"}],
    ids=str,
)
def test_no_such_page(wrong: dict[str, str]) -> None:
    with pytest.raises(RequestError, match=next(iter(wrong))):
        input_page(items(), **{"after": None, "limit": None, "order": None, **wrong})
