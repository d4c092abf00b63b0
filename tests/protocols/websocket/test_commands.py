"""What a client may ask, and one sentence for whatever is not that."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given

from hub.domain.errors import CommandError
from hub.protocols.websocket.commands import (
    Append,
    Auth,
    Cancel,
    Command,
    Generate,
    Ping,
    Presence,
    Subscribe,
    Unsubscribe,
    parse,
)
from tests.support.strategies import json_values, quick


def asked(**fields: Any) -> Command:
    return parse(json.dumps(fields))


@pytest.mark.parametrize(
    ("fields", "command"),
    [
        ({"type": "auth", "token": "t"}, Auth(type="auth", token="t")),
        ({"type": "unsubscribe", "stream": "s"}, Unsubscribe(type="unsubscribe", stream="s")),
        (
            {"type": "append", "stream": "s", "event": {"a": 1}},
            Append(type="append", stream="s", event='{"a": 1}'),
        ),
        ({"type": "generate", "prompt": "Hi"}, Generate(type="generate", prompt="Hi")),
        (
            {"type": "generate", "stream": "s", "messages": [{"role": "user"}], "key": "k"},
            Generate(type="generate", stream="s", messages=({"role": "user"},), key="k"),
        ),
        ({"type": "cancel", "generation": "g"}, Cancel(type="cancel", generation="g")),
        (
            {"type": "presence", "stream": "s", "state": None},
            Presence(type="presence", stream="s", state="null"),
        ),
        (
            {"type": "presence", "stream": "s", "state": [1], "member": "流 1"},
            Presence(type="presence", stream="s", state="[1]", member="流 1"),
        ),
        ({"type": "ping"}, Ping(type="ping")),
        ({"type": "ping", "id": 7}, Ping(type="ping", id=7)),
        ({"type": "ping", "id": "seven"}, Ping(type="ping", id="seven")),
        ({"type": "ping", "id": 2**64 - 1}, Ping(type="ping", id=2**64 - 1)),
    ],
)
def test_a_command_is_read(fields: dict[str, Any], command: Command) -> None:
    assert asked(**fields) == command


def test_where_to_read_from_is_now_if_it_is_not_said() -> None:
    begun = asked(type="subscribe", stream="s", **{"from": "start"})
    assert isinstance(begun, Subscribe)
    assert begun.start == "start"
    left_out = asked(type="subscribe", stream="s")
    assert isinstance(left_out, Subscribe)
    assert left_out.start == "now"


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "[]", "1", "null", '"ping"', "{}{}", "NaN", '{"type":"\\ud83d"}', b"\xff"],
)
def test_what_is_no_json_object_is_told_so(text: str | bytes) -> None:
    with pytest.raises(CommandError, match="must hold one JSON object") as refused:
        parse(text)
    assert refused.value.code == "bad_json"
    assert refused.value.reply_to is None


def test_what_is_nested_too_deeply_is_told_so() -> None:
    with pytest.raises(CommandError):
        parse('{"type":"append","stream":"s","event":' + '{"a":' * 100_000)
    with pytest.raises(CommandError):
        parse('{"type":"append","event":' + '{"a":' * 2000 + "1" + "}" * 2001)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, 'a command needs a "type"'),
        ({"id": 3}, 'a command needs a "type"'),
        ({"type": "pong"}, "unknown command 'pong'; there are: auth, subscribe, "),
        ({"type": "Ping"}, "unknown command 'Ping'"),
        ({"type": 1}, 'a command needs a "type"'),
        ({"type": ["ping"]}, 'a command needs a "type"'),
        ({"type": None}, 'a command needs a "type"'),
        ({"type": "subscribe"}, '"stream" of "subscribe": field required'),
        ({"type": "subscribe", "stream": 7}, '"stream" of "subscribe": '),
        ({"type": "subscribe", "stream": "s", "from": None}, '"from" of "subscribe": '),
        ({"type": "subscribe", "stream": "s", "start": "now"}, '"start" of "subscribe": extra'),
        ({"type": "append", "stream": "s"}, '"event" of "append": field required'),
        ({"type": "append", "stream": "s", "event": []}, '"event" of "append": '),
        ({"type": "generate", "messages": "Hi"}, '"messages" of "generate": '),
        ({"type": "generate", "messages": ["Hi"]}, '"messages" of "generate": '),
        ({"type": "generate", "options": 1}, '"options" of "generate": '),
        ({"type": "cancel", "generation": {}}, '"generation" of "cancel": '),
        ({"type": "ping", "more": 1}, '"more" of "ping": extra'),
        ({"type": "ping", "id": []}, '"id" of "ping": '),
        ({"type": "ping", "id": 1.5}, '"id" of "ping": '),
        ({"type": "ping", "id": True}, '"id" of "ping": '),
        ({"type": "ping", "id": 2**70}, '"id" of "ping": '),
    ],
)
def test_what_is_no_command_is_named_in_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CommandError) as refused:
        asked(**fields)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)
    assert "http" not in str(refused.value), "pydantic's own help is not the client's"


@pytest.mark.parametrize(
    ("given_id", "reply_to"),
    [(7, 7), ("seven", "seven"), (None, None), ([7], None), (1.5, None), (True, None)],
)
def test_an_error_answers_the_command_that_it_is_about(given_id: Any, reply_to: Any) -> None:
    with pytest.raises(CommandError) as refused:
        asked(type="pong", id=given_id)
    assert refused.value.reply_to == reply_to
    assert type(refused.value.reply_to) is type(reply_to)


def test_a_huge_type_is_not_repeated() -> None:
    with pytest.raises(CommandError) as refused:
        asked(type="x" * 100_000)
    assert len(str(refused.value)) < 300


@quick
@given(json_values)
def test_any_json_is_a_command_or_refused(value: Any) -> None:
    for held in (
        value,
        {"type": "ping", "id": value},
        {"type": value},
        {"type": "append", "event": value},
    ):
        try:
            command = parse(orjson.dumps(held))
        except CommandError as refused:
            orjson.dumps(refused.reply_to)
        else:
            orjson.dumps(command.id)
