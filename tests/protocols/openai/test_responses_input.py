"""What a response was asked, listed as items."""

from __future__ import annotations

from typing import Any, Final

import pytest

from hub.domain.errors import RequestError
from hub.domain.provider_fields import EXTRA, seal
from hub.protocols.openai.responses_input import InputItems, input_page
from hub.protocols.openai.responses_request import ResponseAsked
from tests.support.operations import calls_of, is_linear, operations

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


def items(asked: list[dict[str, Any]] = ASKED) -> InputItems:
    given = ResponseAsked.model_validate({"model": "m", "input": asked})
    return InputItems("gen_1", given.messages(native=True))


def test_items_become_items_again() -> None:
    first, question, said, call, result = whole = [items()[place] for place in range(len(items()))]
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
    assert [item["type"] for item in whole] == kinds
    assert len({item["id"] for item in whole}) == len(kinds)


def test_pages() -> None:
    every = [items()[place]["id"] for place in range(len(items()))]
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


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_go_on_where_the_one_before_ended(order: str) -> None:
    call = ASKED[3]
    mixed = [
        {"type": "reasoning", "encrypted_content": seal({"reasoning_details": [{"n": 1}]})},
        ASKED[2], call, call, ASKED[4], ASKED[1],
        {"type": "computer_call_output", "id": "cu_1", "call_id": "c2", "output": {}},
        *ASKED,
    ]  # fmt: skip
    listed = items(mixed)
    every = [listed[place] for place in range(len(listed))]
    assert [item["type"] for item in every[:4]] == [
        "reasoning", "message", "function_call", "function_call",
    ]  # fmt: skip
    found: list[dict[str, Any]] = []
    after, more = None, True
    while more:
        page = input_page(listed, after=after, limit="1", order=order)
        found += page["data"]
        after, more = page["last_id"], page["has_more"]
    assert found == (every if order == "asc" else every[::-1])
    assert any(item["id"] == "cu_1" for item in found)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_only_the_items_of_a_page_are_made(order: str) -> None:
    """To make them all took a seventh of a second, for each request."""
    text = {"type": "input_text", "text": "Hi"}
    reasoning = {"type": "reasoning", "encrypted_content": seal({"reasoning_details": [{"n": 1}]})}
    said = [reasoning, ASKED[2], *[ASKED[3]] * 3, {"role": "user", "content": [text, text]}]

    def page(count: int) -> dict[str, Any]:
        return input_page(listed[count], after="msg_1in1", limit="5", order=order)

    listed = {count: items(said * count) for count in (10, 40)}
    assert calls_of("dumps", lambda: page(40)) <= 2, "what is sealed"
    assert operations(lambda: page(40)) < 1.5 * operations(lambda: page(10))


@pytest.mark.parametrize(
    "wrong",
    [{"limit": "0"}, {"limit": "101"}, {"limit": "many"}, {"order": "up"}, {"after": "msg_9"}],
    ids=str,
)
def test_no_such_page(wrong: dict[str, str]) -> None:
    with pytest.raises(RequestError, match=next(iter(wrong))):
        input_page(items(), **{"after": None, "limit": None, "order": None, **wrong})


def test_the_fields_of_a_call_are_sent_once() -> None:
    """Once for each call of that id would be more memory than there is."""
    sealed = seal({EXTRA: [{"id": "c1", EXTRA: {"google": {"thought_signature": "s"}}}]})
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
    given = [{"type": "reasoning", "encrypted_content": sealed}, call, call]
    (said,) = ResponseAsked(model="m", input=given).messages()
    assert [EXTRA in one for one in said["tool_calls"]] == [True, False]


def test_no_message_costs_a_walk_over_sealed_reasoning() -> None:
    def work(count: int) -> None:
        sealed = seal({"reasoning_details": [{"n": n} for n in range(count)]})
        said = {"role": "user", "content": "Hi"}
        given = [{"type": "reasoning", "encrypted_content": sealed}, *[said] * count]
        assert len(ResponseAsked(model="m", input=given).messages()) == count

    assert is_linear(work)


SIGNED: Final = {"type": "reasoning", "encrypted_content": seal({"reasoning_details": [{"n": 1}]})}
ANSWER: Final = {"role": "assistant", "content": "Hm"}


def test_texts_and_items_of_one_answer_become_one_message() -> None:
    cut = {"type": "computer_call", "call_id": "c1"}
    given = [SIGNED, ANSWER, cut, SIGNED, ANSWER, ASKED[3], cut, ASKED[1], ANSWER]
    first, question, last = ResponseAsked(model="m", input=given).messages(native=True)
    assert (first["content"], len(first["tool_calls"])) == ("HmHm", 1)
    assert [(call["index"], call["at"]) for call in first["executed_tools"]] == [
        (0, {"text": 2, "calls": 0}),
        (1, {"text": 4, "calls": 1}),
    ]
    assert [one.get("n") for one in first["reasoning_details"]] == [1, 1]
    assert question["role"] == "user"
    assert last == ANSWER


def test_items_are_numbered_after_what_was_sealed() -> None:
    sealed = seal({"reasoning_details": [{"index": 6}, {"index": "no"}]})
    given = [{"type": "reasoning", "encrypted_content": sealed}, {"type": "computer_call"}]
    (said,) = ResponseAsked(model="m", input=given).messages(native=True)
    assert [call["index"] for call in said["executed_tools"]] == [7]


@pytest.mark.parametrize("kind", ["items", "images"])
def test_no_item_costs_a_walk_over_those_before_it(kind: str) -> None:
    def work(count: int) -> None:
        sealed = seal({"reasoning_details": [{"n": n} for n in range(count)]})
        reasoning = {"type": "reasoning", "encrypted_content": sealed}
        image = {"type": "image_generation_call", "id": f"ig_{'0' * 32}1", "result": "AAAA"}
        more = {"items": [{"type": "computer_call"}], "images": [image, ASKED[0]]}[kind]
        given = [ASKED[0], reasoning, *more * count]
        assert ResponseAsked(model="m", input=given).messages(native=True)

    assert is_linear(work)


def test_the_text_of_an_answer_is_joined_once() -> None:
    def work(count: int) -> None:
        given = [SIGNED, *[ANSWER] * count]
        (said,) = ResponseAsked(model="m", input=given).messages()
        assert said["content"] == "Hm" * count

    assert calls_of("join", lambda: work(40)) == calls_of("join", lambda: work(10))
