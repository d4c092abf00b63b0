"""Pieces of tool calls find their call, whatever the server leaves out or repeats."""

from __future__ import annotations

from typing import Any

import pytest

from hub.dialects.reply.tool_call_pieces import MOST, ToolCalls
from hub.domain.errors import UpstreamError
from hub.domain.events import ToolCall


def piece(name: Any = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"function": {key: held for key, held in function.items() if held is not None}, **more}


def read(*deltas: list[dict[str, Any]]) -> list[ToolCall]:
    calls = ToolCalls()
    found = [piece for delta in deltas for piece in calls.pieces(delta)]
    return [d.tool for d in [*found, *calls.end(complete=True)] if d.tool is not None]


def joined(*deltas: list[dict[str, Any]]) -> list[tuple[str | None, str | None, str]]:
    """The calls put together as a client does: by number, the id and name as they come."""
    calls: dict[int, tuple[str | None, str | None, str]] = {}
    for call in read(*deltas):
        key, name, arguments = calls.get(call.index, (None, None, ""))
        assert call.id is None or key is None, "an id is given once"
        assert call.name is None or name is None, "a name is given once"
        calls[call.index] = (call.id or key, call.name or name, arguments + call.arguments)
    assert list(calls) == list(range(len(calls)))
    return list(calls.values())


TWO = [("1", "f", '{"a":1}'), ("2", "f", '{"b":2}')]


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param(
            [
                [piece("f", "", index=0, id="1")],
                [piece(None, '{"a"', index=0)],
                [piece("f", "", index=1, id="2")],
                [piece(None, ":1}", index=0)],
                [piece(None, '{"b":2}', index=1)],
            ],
            id="by index, mixed",
        ),
        pytest.param(
            [[piece("f", '{"a":1}', index=0, id="1"), piece("f", '{"b":2}', index=1, id="2")]],
            id="everything in one delta",
        ),
        pytest.param(
            [[piece("f", '{"a":1}', index=0, id="1")], [piece("f", '{"b":2}', index=0, id="2")]],
            id="always index 0",
        ),
        pytest.param(
            [
                [piece("f", "", id="1")],
                [piece(None, '{"a":1}')],
                [piece("f", '{"b"', id="2")],
                [piece("", ":2}")],
            ],
            id="no index",
        ),
        pytest.param(
            [
                [piece("f", '{"a"', id="1")],
                [piece("f", '{"b"', id="2")],
                [piece("f", ":1}", id="1")],
                [piece("f", ":2}", id="2")],
            ],
            id="no index, id and name repeated",
        ),
        pytest.param(
            [
                [piece("f", '{"a"', index=7, id="1")],
                [piece("f", ":1}", index=7, id="1")],
                [piece("f", {"b": 2}, index=9, id="2")],
            ],
            id="odd numbers, name repeated, arguments as an object",
        ),
        pytest.param(
            [
                [piece("f", None, index=0, id="1")],
                [piece(None, '{"a":1}', index=0, id="made-up")],
                [piece(None, None, index=1), piece("f", None, index=1), piece(index=1, id="2")],
                [piece(None, '{"b":2}', index=1, id="made-up-2")],
            ],
            id="new ids, late name",
        ),
    ],
)
def test_two_calls(deltas: list[list[dict[str, Any]]]) -> None:
    assert joined(*deltas) == TWO


def test_bare_calls_in_one_delta_are_several() -> None:
    assert joined([piece("f", "{}"), piece("f", "{}")]) == [(None, "f", "{}"), (None, "f", "{}")]


def test_another_name_without_index_and_id_is_another_call() -> None:
    assert joined([piece("f", "{}")], [piece("g", "{}")]) == [(None, "f", "{}"), (None, "g", "{}")]


def test_an_unknown_id_alone_goes_on_with_the_last_call() -> None:
    assert joined([piece("f", "{", id="1")], [piece(None, "}", id="2")]) == [("1", "f", "{}")]


def test_a_piece_that_adds_nothing_gives_nothing() -> None:
    assert read([piece("f", "", index=0)], [piece("", "", index=0)], [{"index": 0}]) == [
        ToolCall(0, name="f"),
        ToolCall(0, arguments="{}"),  # a call without arguments ends as one with none
    ]


def test_another_name_under_the_same_index_is_another_call() -> None:
    assert joined([piece("f", '{"a":1}', index=0)], [piece("g", '{"b":2}', index=0)]) == [
        (None, "f", '{"a":1}'),
        (None, "g", '{"b":2}'),
    ]


def test_a_form_that_is_not_filled_in_is_no_call() -> None:
    empty = {"id": "", "type": "function", **piece("", "", index=0)}
    assert joined([empty], [piece("f", "{}", index=0, id="1")]) == [("1", "f", "{}")]
    assert not ToolCalls()


def test_a_custom_tool_is_given_text() -> None:
    begun = {"index": 0, "id": "1", "type": "custom", "custom": {"name": "sum", "input": ""}}
    more = [{"index": 0, "custom": {"input": text}} for text in ("4 ", "+ 4")]
    assert joined([begun], more) == [("1", "sum", "4 + 4")]


def test_an_empty_custom_tool_beside_a_function_is_none() -> None:
    call = {**piece("f", "{}", id="1"), "custom": {"name": "", "input": ""}}
    assert joined([call]) == [("1", "f", "{}")]


def test_a_split_character_is_carried_for_each_call() -> None:
    assert joined(
        [piece("f", "\ud83d", index=0), piece("g", "\ud83d", index=1)],
        [piece(None, "\ude00", index=1)],
        [piece(None, "\ude00", index=0)],
    ) == [(None, "f", "😀"), (None, "g", "😀")]


def test_half_a_character_at_the_end_is_replaced() -> None:
    assert joined([piece("f\ud83d", "x\ud83d", index=0)]) == [(None, "f\ufffd", "x\ufffd")]


@pytest.mark.parametrize("held", [None, 5, "f", [], piece("f", 5), piece("f", ["a"])])
def test_refuses_what_is_no_call(held: Any) -> None:
    with pytest.raises(UpstreamError) as caught:
        ToolCalls().pieces([held])
    assert caught.value.code == "upstream_malformed"


def test_refuses_calls_without_end() -> None:
    calls = ToolCalls()
    for number in range(MOST):
        calls.pieces([piece("f", "{}", index=number)])
    with pytest.raises(UpstreamError, match="more than"):
        calls.pieces([piece("f", "{}", index=MOST)])
