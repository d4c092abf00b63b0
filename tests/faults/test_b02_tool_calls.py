"""Fault B2: tool calls were run together, lost or invented.

The end of one JSON value and the beginning of another on the same call were never noticed.
The same value with the same id is a repetition, ``{}`` is a placeholder, another value is
another call, and nothing is invented.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.dialects.reply.tool_call_pieces import ToolCalls
from hub.domain.events import ToolCall
from tests.faults.replies import call, chat, finish, named, read, sse

OSLO, ROME = '{"city":"Oslo"}', '{"city":"Rome"}'
TWO = [("weather", OSLO), ("weather", ROME)]
ONE = TWO[:1]
BEGUN = call("weather", OSLO, index=0, id="t1")


def tools(*chunks: Any) -> list[tuple[str, str]]:
    seen = read("openai-chat", sse(*chunks, finish("tool_calls"), "[DONE]"))
    assert seen.end == "tool"
    return seen.tools


def bare(*calls: dict[str, Any]) -> dict[str, Any]:
    return chat({"tool_calls": list(calls)})


def function(name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **more}


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([call("weather", a, index=0, id="") for a in (OSLO, ROME)], id="empty ids"),
        pytest.param([call("weather", a, index=0) for a in (OSLO, ROME)], id="no ids"),
        pytest.param([call("weather", a) for a in (OSLO, ROME)], id="no index"),
        pytest.param([call("weather", a, index=0, id="x") for a in (OSLO, ROME)], id="one id"),
        pytest.param([call("weather", a, id="x") for a in (OSLO, ROME)], id="one id, no index"),
        pytest.param(
            [call("weather", a, index=n, id="x") for n, a in enumerate((OSLO, ROME))],
            id="one id, two indices",
        ),
        pytest.param(
            [call("weather", json.loads(a), index=0, id="") for a in (OSLO, ROME)], id="objects"
        ),
        pytest.param(
            [
                call("weather", "", index=0, id=""),
                call(None, '{"city":', index=0),
                call(None, '"Oslo"}', index=0),
                call("weather", "", index=0, id=""),
                call("weather", '{"city":', index=0),
                call(None, '"Rome"}', index=0),
            ],
            id="in pieces",
        ),
        pytest.param(
            [
                call("weather", '{"city":"Oslo"', index=0),
                call(None, '}{"city":', index=0),
                call("weather", '"Rome"}', index=0),
            ],
            id="cut across",
        ),
        pytest.param([call("weather", OSLO + ROME, index=0, id="t1")], id="in one piece"),
        pytest.param(
            [bare(function("weather", OSLO), function("weather", ROME))], id="bare, in one chunk"
        ),
        pytest.param(
            [
                bare(function("weather", OSLO[:5]), function("weather", ROME[:5])),
                bare({"function": {"arguments": OSLO[5:]}}, {"function": {"arguments": ROME[5:]}}),
            ],
            id="bare, side by side",
        ),
        pytest.param(
            [
                call("weather", OSLO, index=0, id="t1"),
                call("weather", ROME, index=0, id="t2"),
                call("weather", OSLO, index=0, id="t1"),
                call("weather", ROME, index=0, id="t2"),
            ],
            id="both once more",
        ),
        pytest.param(
            [
                call("weather", OSLO[:5], index=0, id="t1"),
                call("weather", ROME[:5], index=0, id="t2"),
                call("weather", OSLO[5:], index=0, id="t1"),
                call("weather", ROME[5:], index=0, id="t2"),
            ],
            id="one index, told apart by id",
        ),
    ],
)
def test_two_calls_are_two(chunks: list[Any]) -> None:
    assert tools(*chunks) == TWO


def test_calls_that_share_an_id_are_told_apart() -> None:
    calls = ToolCalls()
    for arguments in (OSLO, ROME):
        given = [function("weather", arguments, index=0, id="function-call")]
        deltas = [delta.tool for delta in calls.pieces(given)]
        assert deltas[0] is not None
        assert deltas[0].id == ("function-call" if arguments == OSLO else None)


@pytest.mark.parametrize("arguments", ["{}", "", OSLO])
def test_equal_calls_with_ids_of_their_own_both_survive(arguments: str) -> None:
    expected = [("weather", arguments or "{}")] * 2
    for more in ({"index": 0}, {}):
        chunks = [call("weather", arguments, id=key, **more) for key in ("t1", "t2")]
        assert tools(*chunks) == expected
    assert tools(*(call("weather", arguments, index=n, id=f"t{n}") for n in (0, 1))) == expected
    assert tools(*(call("weather", arguments, index=n) for n in (0, 1))) == expected


@pytest.mark.parametrize(
    "again",
    [
        [BEGUN],
        [call("weather", OSLO, index=0)],
        [call(None, OSLO, index=0)],
        [call(None, OSLO, index=0, id="t1")],
        [call("weather", OSLO, id="t1")],
        [call("weather", OSLO, index=1, id="t1")],
        [call("weather", '{ "city" : "Oslo" }\n', index=0, id="t1")],
        [call("weather", {"city": "Oslo"}, index=0, id="t1")],
        [call("weather", OSLO[:7], index=0, id="t1"), call(None, OSLO[7:], index=0)],
        [call("weather", OSLO[:7], index=0, id="t1")],
        [call("weather", "", index=0, id="t1")],
        [call(None, "", index=0), call(None, "\n", index=0)],
        [call(None, "}", index=0)],
        [BEGUN, BEGUN],
    ],
)
def test_the_whole_once_more_is_a_repetition(again: list[Any]) -> None:
    pieces = [call("weather", '{"city":', index=0, id="t1"), call(None, '"Oslo"}', index=0)]
    for before in ([BEGUN], pieces):
        found = tools(*before, *again)
        assert [(name, said.strip()) for name, said in found] == ONE


def test_the_order_of_keys_makes_no_other_value() -> None:
    assert tools(call("f", '{"a":1,"b":[2]}', id="1"), call("f", '{"b":[2],"a":1}', id="1")) == [
        ("f", '{"a":1,"b":[2]}')
    ]


@pytest.mark.parametrize("nothing", ["{}", "{ }", "null", "[]", '""', {}, []])
def test_a_placeholder_is_replaced(nothing: Any) -> None:
    for more in ({"index": 0, "id": "t1"}, {"index": 0}, {"id": "t1"}, {}):
        begun = call("weather", nothing, **more)
        assert tools(begun, call(None, OSLO, **more)) == ONE
        assert tools(begun, call("weather", OSLO, **more)) == ONE
        assert tools(begun, call(None, OSLO[:7], **more), call(None, OSLO[7:], **more)) == ONE
        assert tools(begun, begun) == [("weather", "{}")]
        assert tools(begun) == [("weather", "{}")]
    both = [call("weather", nothing, index=n, id=f"t{n}") for n in (0, 1)]
    real = [call(None, arguments, index=n) for n, arguments in enumerate((OSLO, ROME))]
    assert tools(*both, *real) == TWO


@pytest.mark.parametrize("arguments", ["", None, "{}", {}])
def test_a_call_without_arguments_ends_as_one_with_none(arguments: Any) -> None:
    assert tools(call("now", arguments, index=0, id="t1")) == [("now", "{}")]
    both = call("now", arguments, index=0, id="t1"), call("weather", OSLO, index=1, id="t2")
    assert tools(*both) == [("now", "{}"), ("weather", OSLO)]
    assert tools(*reversed(both)) == [("weather", OSLO), ("now", "{}")]


def test_what_was_cut_off_by_its_length_is_not_made_up() -> None:
    body = sse(call("weather", "", index=0, id="t1"), finish("length"))
    assert read("openai-chat", body).tools == [("weather", "")]
    body = sse(call("weather", '{"ci', index=0, id="t1"), finish("length"))
    assert read("openai-chat", body).tools == [("weather", '{"ci')]


@pytest.mark.parametrize(
    "chunks",
    [
        [call(None, OSLO, index=0, id="t1")],
        [call("", OSLO, index=0, id="t1")],
        [BEGUN, call(None, ROME, index=1, id="t2")],
        [BEGUN, call(None, ROME, index=1)],
        [BEGUN, call(None, ROME, index=0)],
        [BEGUN, call(None, ROME)],
        [call("weather", OSLO), call(None, ROME)],
        [bare(function("weather", OSLO), {"function": {"arguments": ROME}})],
    ],
)
def test_a_call_without_a_name_is_not_invented(chunks: list[Any]) -> None:
    seen = read("openai-chat", sse(*chunks, finish("tool_calls"), "[DONE]"))
    assert seen.end == "upstream_malformed"
    assert seen.tools in (ONE, [])


def test_a_name_that_comes_late_is_waited_for() -> None:
    late = call(None, '{"city":', index=0), call("weather", '"Oslo"}', index=0, id="t1")
    assert tools(*late) == ONE


def test_another_name_is_another_call() -> None:
    for more in ({"index": 0}, {"index": 0, "id": ""}, {}):
        chunks = call("now", "", **more), call("weather", OSLO, **more)
        assert tools(*chunks) == [("now", "{}"), ("weather", OSLO)]


def test_a_custom_tool_stays_one() -> None:
    held = {"index": 0, "id": "1", "type": "custom", "custom": {"name": "sql", "input": "{} {"}}
    calls = ToolCalls()
    (begun,) = calls.pieces([held])
    assert begun.tool == ToolCall(0, "1", "sql", "{} {", custom=True)
    (more,) = calls.pieces([{"index": 0, "custom": {"input": "}"}}])
    assert more.tool == ToolCall(0, arguments="}")
    assert calls.end(complete=True) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('a{}[]"\\ 字😀', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text('ab{"\\', min_size=1, max_size=3), JSON, min_size=1, max_size=3)


@given(values=st.lists(OBJECTS, min_size=1, max_size=4, unique_by=json.dumps), cuts=st.data())
def test_values_one_after_another_are_calls_however_they_are_cut(
    values: list[Any], cuts: st.DataObject
) -> None:
    text = "".join(json.dumps(value) for value in values)
    places = cuts.draw(st.lists(st.integers(0, len(text)), max_size=8))
    calls, joined = ToolCalls(), dict[int, str]()
    found = []
    for start, end in pairwise([0, *sorted(places), len(text)]):
        found += calls.pieces([function("f", text[start:end], index=0)])
    for delta in [*found, *calls.end(complete=True)]:
        assert delta.tool is not None
        joined[delta.tool.index] = joined.get(delta.tool.index, "") + delta.tool.arguments
    # A value that came just before, once more, is a repetition; these are all different ones.
    assert [json.loads(held) for held in joined.values()] == values


# The other dialects


def block(index: int, key: str, held: Any, *pieces: str) -> list[dict[str, Any]]:
    start = {"type": "tool_use", "id": key, "name": "weather", "input": held}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def anthropic(*events: dict[str, Any]) -> list[tuple[str, str]]:
    start = {"type": "message_start", "message": {"id": "m", "content": []}}
    end = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}}
    seen = read("anthropic", named(start, *events, end, {"type": "message_stop"}))
    assert seen.end == "tool"
    return seen.tools


def test_anthropic() -> None:
    for first in (block(0, "t1", {}, OSLO[:7], OSLO[7:]), block(0, "t1", json.loads(OSLO))):
        assert anthropic(*first) == ONE
        for again in (first, block(1, "t1", {}, OSLO), block(1, "t1", json.loads(OSLO))):
            assert anthropic(*first, *again) == ONE
        assert anthropic(*first, *block(0, "t2", {}, ROME)) == TWO
        assert anthropic(*first, *block(1, "t1", {}, ROME)) == TWO
        assert anthropic(*first, *block(1, "t2", {}, OSLO)) == ONE * 2
    assert anthropic(*block(0, "t1", {}, "{}", OSLO)) == ONE
    assert anthropic(*block(0, "t1", {}, OSLO, OSLO)) == ONE
    assert anthropic(*block(0, "t1", {})) == [("weather", "{}")]
    assert anthropic(*block(0, "t1", {}), *block(1, "t1", {})) == [("weather", "{}")]
    assert anthropic(*block(0, "t1", None), *block(1, "t2", {})) == [("weather", "{}")] * 2


def gemini(*calls: dict[str, Any], together: bool = False) -> Any:
    parts = [{"functionCall": held} for held in calls]
    lists = [parts] if together else [[part] for part in parts]
    bodies = [{"candidates": [{"content": {"parts": held}}]} for held in lists]
    return read("gemini", sse(*bodies, {"candidates": [{"finishReason": "STOP"}]}))


def test_gemini() -> None:
    oslo, rome = ({"name": "weather", "args": json.loads(said)} for said in (OSLO, ROME))
    for together in (False, True):
        assert gemini(oslo, rome, together=together).tools == TWO
        assert gemini(oslo, oslo, together=together).tools == ONE * 2  # as Google's own SDK has it
        assert gemini({**oslo, "id": "1"}, {**oslo, "id": "1"}, together=together).tools == ONE
        for first in ({"name": "weather", "args": {}}, {"name": "weather", "args": None}):
            assert gemini(first, {"args": oslo["args"]}, together=together).tools == ONE
            assert gemini(first, together=together).tools == [("weather", "{}")]
            expected = [("weather", "{}"), ("weather", OSLO)]
            assert gemini(first, oslo, together=together).tools == expected
        assert gemini({"name": "weather"}, {"args": oslo["args"]}).tools == ONE
        assert gemini(oslo, {"args": oslo["args"]}, together=together).tools == ONE
    assert gemini(oslo, {"args": rome["args"]}).end == "upstream_malformed"
    assert gemini({"args": rome["args"]}).end == "upstream_malformed"


def ollama(*calls: list[dict[str, Any]]) -> Any:
    lines = [
        {"message": {"tool_calls": held}, "done": last}
        for held, last in zip(calls, [False] * (len(calls) - 1) + [True], strict=True)
    ]
    return read("ollama", b"\n".join(json.dumps(line).encode() for line in lines))


def test_ollama() -> None:
    oslo, rome = (function("weather", json.loads(said)) for said in (OSLO, ROME))
    assert ollama([oslo], [rome], []).tools == TWO
    assert ollama([oslo, rome], []).tools == TWO
    assert ollama([oslo], [oslo], []).tools == ONE * 2
    assert ollama([{**oslo, "id": "1"}], [{**oslo, "id": "1"}], []).tools == ONE
    assert ollama([oslo, rome], [oslo, rome]).tools == TWO
    assert ollama([function("weather", {})], [{"function": {"arguments": OSLO}}], []).tools == ONE
    assert ollama([function("weather", "")], []).tools == [("weather", "{}")]
    assert ollama([{"function": {"arguments": OSLO}}], []).end == "upstream_malformed"


def cohere(*events: tuple[str, dict[str, Any]]) -> Any:
    held = [
        {"type": kind, "index": call.pop("index"), "delta": {"message": {"tool_calls": call}}}
        for kind, call in events
    ]
    end = {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}}
    return read("cohere", sse(*held, end))


def test_cohere() -> None:
    def start(arguments: str, index: int = 0, key: str = "w") -> tuple[str, dict[str, Any]]:
        return "tool-call-start", function("weather", arguments, index=index, id=key)

    def piece(arguments: str, index: int = 0) -> tuple[str, dict[str, Any]]:
        return "tool-call-delta", {"index": index, "function": {"arguments": arguments}}

    assert cohere(start(""), piece(OSLO[:5]), piece(OSLO[5:])).tools == ONE
    assert cohere(start("{}"), piece(OSLO)).tools == ONE
    assert cohere(start(OSLO), start(ROME)).tools == TWO
    assert cohere(start(OSLO), start(OSLO)).tools == ONE
    assert cohere(start(OSLO), start(OSLO, 1, "v")).tools == ONE * 2
    assert cohere(start(OSLO, key=""), start(ROME, key="")).tools == TWO
    assert cohere(start("")).tools == [("weather", "{}")]
    assert cohere(piece(OSLO)).end == "upstream_malformed"


def item(call_id: str, arguments: str, **more: Any) -> dict[str, Any]:
    held = {"type": "function_call", "call_id": call_id, "name": "weather", "arguments": arguments}
    return {"item": {**held, **more}}


def responses(*events: dict[str, Any], output: Any = ()) -> Any:
    answer = {"status": "completed", "output": list(output)}
    told = [{**held, "type": f"response.{held['type']}"} for held in events]
    return read(
        "openai-responses", named(*told, {"type": "response.completed", "response": answer})
    )


def test_responses() -> None:
    added, done = {"type": "output_item.added"}, {"type": "output_item.done"}
    delta = {"type": "function_call_arguments.delta"}
    whole = {"type": "function_call_arguments.done"}
    first = {**added, **item("c1", "")}
    # Known by nothing, by an index that comes late, by an id that is new in every event.
    for place in ({}, {"output_index": 0}, {"output_index": 3}, {"item_id": "x"}):
        assert responses(first, {**whole, **place, "arguments": OSLO}).tools == ONE
        assert responses(first, {**delta, **place, "delta": OSLO}).tools == ONE
        end = {**done, **item("c1", OSLO)}
        assert responses(first, {**whole, **place, "arguments": OSLO}, end).tools == ONE
        held = item("c1", OSLO)["item"]
        assert responses(first, {**delta, **place, "delta": OSLO}, output=[held]).tools == ONE
    # Two of one index.
    two = [{**added, "output_index": 0, **item(f"c{n}", "", id=f"f{n}")} for n in (1, 2)]
    said = [(1, OSLO), (2, ROME)]
    deltas = [{**delta, "output_index": 0, "item_id": f"f{n}", "delta": a} for n, a in said]
    wholes = [{**whole, "output_index": 0, "item_id": f"f{n}", "arguments": a} for n, a in said]
    ends = [{**done, "output_index": 0, **item(f"c{n}", a, id=f"f{n}")} for n, a in said]
    outputs = [held["item"] for held in ends]
    for events in (
        [*two, *deltas],
        [*two, *wholes],
        [*two, *ends],
        [*two, *deltas, *wholes, *ends],
    ):
        assert responses(*events).tools == TWO
        assert responses(*events, output=outputs).tools == TWO
    assert responses(*ends).tools == TWO
    assert responses(output=outputs).tools == TWO
    # White space is no other value, and {} is a placeholder.
    spaced = item("c1", '{ "city": "Oslo" }')
    assert responses(first, {**delta, "delta": OSLO}, {**done, **spaced}).tools == ONE
    assert responses({**added, **item("c1", "{}")}, {**delta, "delta": OSLO}).tools == ONE
    assert responses({**added, **item("c1", "{}")}, {**whole, "arguments": OSLO}).tools == ONE
    assert responses(first).tools == [("weather", "{}")]
    assert responses({**delta, "delta": OSLO}).end == "upstream_malformed"
