"""Fault A11: what a client sends as JSON is what everybody reads, byte by byte.

An event that came over the WebSocket was parsed and written again: its numbers changed
(``1E5``, ``-0``, whole numbers of more than 64 bits), and of members with one name only the
last was left. Over HTTP nothing changed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import orjson
import pytest
from aiohttp.test_utils import TestClient
from hypothesis import example, given
from hypothesis import strategies as st

from hub.client import Hub
from hub.domain import json_text
from hub.domain.errors import RequestError
from hub.domain.events import Delta, Other, decode
from hub.domain.records import Record
from hub.frames.coalesce import merge
from hub.protocols.durable.json_messages import split
from hub.protocols.websocket.commands import Append, parse
from tests.conftest import Running, StartHub
from tests.support.patience import PATIENCE
from tests.support.processes import environ
from tests.support.strategies import examples

T = TypeVar("T")

STRANGE: Final = [
    '{"n":123456789012345678901234567890}',
    '{"n":-123456789012345678901234567890}',
    '{"n":1E5,"m":1e+05,"k":1.50,"j":1.0,"i":0.1e-7}',
    '{"n":-0,"m":-0.0}',
    '{"n":1e400,"m":-1e400,"k":1e-400}',
    '{"n":3.14159265358979323846264338327950288}',
    '{"n":18446744073709551616,"m":-9223372036854775809}',
    '{"a":1,"a":2,"b":{"c":1,"c":2}}',
    r'{"a":"\ud800","b":"\udc00\ud800","\ud834":1}',
    r'{"a":"\u0041\/\u00e9\ud83d\ude00 é 😀 \b\f\n\r\t\"\\"}',
    '{"type":"delta","text":"a","n":1E5}',
    r'{"type":"message","role":"user","text":"half \ud83d","x":-0}',
    '{ "a" : [ 1 , 2.50 ] , "b" : null }',
    '{"type":"append","event":{"stream":"x"},"id":1}',
    '{"a":' * 250 + "1" + "}" * 250,
    "{}",
]

# JSON text, not values: what a value is written as is what this is about.
_spaces: Final = st.sampled_from(["", "", "", " ", "\t", "\n", "\r\n", "  "])
_digits: Final = st.text("0123456789", min_size=1, max_size=40)
_wholes: Final = st.one_of(st.just("0"), st.tuples(st.sampled_from("123456789"), _digits))
_numbers: Final = st.builds(
    lambda sign, whole, part, power: sign + "".join(whole) + part + power,
    st.sampled_from(["", "-"]),
    _wholes,
    st.one_of(st.just(""), _digits.map(lambda digits: "." + digits)),
    # Beyond 10**18 an exponent is refused.
    st.one_of(
        st.just(""),
        st.tuples(st.sampled_from(["e", "E", "e+", "E-"]), _digits).map(lambda p: p[0] + p[1][:4]),
    ),
)
_characters: Final = st.one_of(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'),
    st.sampled_from([r"\n", r"\r", r"\"", r"\\", r"\/", r"\u0000", r"\u2028", "\u2028", "\u0085"]),
    st.sampled_from([r"\ud800", r"\uDC00", r"\ud83d\ude00", r"\\ud800"]),
)
_strings: Final = st.lists(_characters, max_size=6).map(lambda parts: '"' + "".join(parts) + '"')
_names: Final = st.one_of(st.sampled_from(['"a"', '"text"', '"generation"', '"event"']), _strings)


def _list(items: list[str], space: str) -> str:
    return f"[{space}" + f"{space},{space}".join(items) + f"{space}]"


def _object(pairs: list[tuple[str, str]], space: str) -> str:
    members = [f"{name}{space}:{space}{value}" for name, value in pairs]
    return f"{{{space}" + f"{space},{space}".join(members) + f"{space}}}"


_values: Final = st.recursive(
    st.one_of(st.sampled_from(["null", "true", "false"]), _numbers, _strings),
    lambda inner: st.one_of(
        st.builds(_list, st.lists(inner, max_size=3), _spaces),
        st.builds(_object, st.lists(st.tuples(_names, inner), max_size=3), _spaces),
    ),
    max_leaves=8,
)
objects: Final = st.builds(_object, st.lists(st.tuples(_names, _values), max_size=4), _spaces)


def in_one_line(text: str) -> bytes:
    """What is kept of a JSON text: all but the line ends between its tokens."""
    return text.translate({10: " ", 13: " "}).encode()


def in_lines(kept: bytes) -> bytes:
    """As formats of lines have it: what some readers take for the end of one is escaped."""
    for end in ("\x85", "\u2028", "\u2029"):
        kept = kept.replace(end.encode(), b"\\u%04x" % ord(end))
    return kept


async def over_websocket(client: TestClient[Any, Any], stream: str, text: str) -> dict[str, Any]:
    async with client.ws_connect("/v1/ws") as socket:
        await socket.send_str(f'{{"type":"append","stream":"{stream}","id":1,"event":{text}}}')
        reply: dict[str, Any] = await socket.receive_json(timeout=PATIENCE)
        return reply


async def over_http(client: TestClient[Any, Any], stream: str, text: str) -> int:
    path = f"/v1/stream/{stream}"
    headers = {"Content-Type": "application/json"}
    async with client.put(path, headers=headers) as made:
        assert made.status in (200, 201)
    async with client.post(path, data=text.encode(), headers=headers) as said:
        return said.status


async def read_at(client: TestClient[Any, Any], stream: str) -> dict[str, bytes]:
    """The one record of a closed stream, as each transport tells it."""
    async with client.get(f"/v1/stream/{stream}?offset=-1") as said:
        held = (await said.read())[1:-1]
    told = {"durable": held}
    for form, begin, end in (
        ("sse", b"data: ", b"\n\n"),
        ("ndjson", b"", b"\n"),
        ("json", b"", b'{"type":"position"'),
    ):
        async with client.get(f"/v1/live/{stream}?format={form}&from=start") as said:
            body = await said.read()
            told[form] = body.partition(begin)[2] if begin else body
            told[form] = told[form].partition(end)[0]
    async with client.ws_connect("/v1/ws") as socket:
        await socket.send_json({"type": "subscribe", "stream": stream, "from": "start"})
        async for message in socket:
            if message.data.startswith('{"type":"events"'):
                told["websocket"] = message.data.encode().partition(b'"events":[')[2][:-2]
                break
    return told


async def _is_the_same_everywhere(running: Running, text: str, number: int) -> None:
    client, hub = running.client, running.hub
    names = f"ws{number}", f"http{number}"
    reply = await over_websocket(client, names[0], text)
    assert reply["type"] == "ok", reply
    assert await over_http(client, names[1], text) in (200, 204)
    kept = in_one_line(text)
    for name in names:
        (await hub.streams.open(name)).close()
        told = await read_at(client, name)
        lines = dict.fromkeys(["sse", "ndjson", "json"], in_lines(kept))
        assert told == {"durable": kept, "websocket": kept, **lines}, name


@pytest.mark.parametrize("url", ["memory:", "sqlite:"])
async def test_an_event_is_kept_as_it_was_sent(
    url: str, start_hub: StartHub, tmp_path: Any
) -> None:
    running = await start_hub(
        store={"url": url + str(tmp_path / "hub.db") if url[0] == "s" else url}
    )
    for number, text in enumerate(STRANGE):
        await _is_the_same_everywhere(running, text, number)


async def test_any_object_is_the_same_over_every_transport(start_hub: StartHub) -> None:
    running = await start_hub()
    loop = asyncio.get_running_loop()
    numbers = iter(range(10_000))

    def run(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE)

    @examples(60)
    @given(objects)
    @example('{"event":1,"type":"ping"}')
    def same(text: str) -> None:
        run(_is_the_same_everywhere(running, text, next(numbers)))

    await asyncio.to_thread(same)


@pytest.mark.parametrize(
    "text",
    [
        "{" + '"a":{' * 300 + "}" * 301,
        '{"n":' + "1" * 1001 + "}",
        '{"n":01}',
        '{"n":NaN}',
        '{"n":1.}',
        '{"n":+1}',
        '{"a":"\n"}',
        '{"a":1,}',
        '{"a" 1}',
        r'{"a":"\x"}',
        r'{"a":"\ud8"}',
        "{'a':1}",
    ],
)
async def test_what_one_refuses_the_other_refuses(text: str, start_hub: StartHub) -> None:
    running = await start_hub()
    reply = await over_websocket(running.client, "ws", text)
    assert (reply["type"], reply["code"]) == ("error", "bad_json")
    assert await over_http(running.client, "http", text) == 400
    assert (await running.hub.streams.open("http")).end == 0


@given(objects, objects)
def test_the_event_is_found_in_any_frame(event: str, other: str) -> None:
    frames: list[str] = [
        f'{{"type":"append","stream":"s","event":{event}}}',
        f'\n{{ "event" :\t{event} , "type" : "append","stream":"s" }} ',
        f'{{"event":{other},"event":{event},"stream":"s","type":"append"}}',
        rf'{{"\u0065vent":{event},"stream":"s","type":"app\u0065nd"}}',
    ]
    for frame in frames:
        for sent in (frame, frame.encode()):
            assert parse(sent) == Append(type="append", stream="s", event=event)


@pytest.mark.parametrize(
    "frame",
    [
        r'{"type":"append","stream":"s","a":{"event":{"n":1}},"event":{"n":2}}',
        r'{"type":"append","stream":"s","event":{"n":1},"event":{"n":2}}',
        r'{"type":"append","stream":"s","event":{"n":1},"\u0065vent":{"n":2}}',
        r'{"type":"append","stream":"s","\u0065vent":{"event":{"n":1},"n":2}}',
        r'{"type":"append","stream":"event","event":{"n":2}}',
        r'{"type":"append","stream":"\"event\":{}","event":{"n":2}}',
        r'{"type":"append","event":{"n":2},"stream":"\"event\":{}"}',
        r'{"type":"append","event" : {"event":"event"} ,"stream":"event"}',
        r'{"event":{"type":"event","event":{"event":1E5}},"type":"append","stream":"s"}',
        r'{"type":"append","event":[1],"event":{},"stream":"s"}',
        '{"type":"append","event":{"n":%s},"stream":"s"}' % ("1" * 5000),
        '{"type":"append","event":{"n":"é😀\\n"},"stream":"s"}',
    ],
)
def test_the_quick_way_to_a_member_finds_what_the_slow_one_finds(frame: str) -> None:
    found = json_text.member(frame, "event")
    assert found in (None, json_text.members(frame)["event"])


@given(objects, objects, st.sampled_from(["event", r"\u0065vent", "x"]))
def test_the_quick_way_is_never_wrong(event: str, other: str, name: str) -> None:
    for frame in (
        f'{{"{name}":{other},"event":{event}}}',
        f'{{"event":{event},"{name}":{other}}}',
        f'{{"type":"append","event" : {event} }}',
    ):
        try:
            orjson.loads(frame)
        except orjson.JSONDecodeError:
            continue
        assert json_text.member(frame, "event") in (None, json_text.members(frame)["event"])


def test_the_quick_way_is_the_common_one() -> None:
    event = {"type": "message", "role": "user", "text": 'é\n"event"', "tags": [{"event": 1.5}]}
    frame = {"type": "append", "id": 7, "stream": "chat/1", "event": event}
    for text in (json.dumps(frame), orjson.dumps(frame).decode()):
        found = json_text.member(text, "event")
        assert found is not None
        assert json.loads(found) == event


@given(_values)
def test_what_is_read_is_what_python_reads_but_for_what_no_text_can_hold(text: str) -> None:
    held = json_text.loads(text.encode())
    json.dumps(held).encode()
    orjson.dumps(held)  # nothing in it stops whoever writes it again
    try:
        assert orjson.dumps(orjson.loads(text)) == orjson.dumps(held)
    except orjson.JSONDecodeError:
        assert r"\u" in text.lower() or "e" in text.lower() or len(text) > 300


def _strictly(text: str) -> bool:
    """Whether the standard library takes it, which every reader of JSON then can."""
    try:
        json.loads(text, parse_constant=int)  # `int` takes none of the words that are no JSON
    except ValueError:
        return False
    return True


@examples(300)
@given(objects, st.data())
def test_whatever_is_kept_is_json_to_every_reader(text: str, data: st.DataObject) -> None:
    """A record that is not stops everybody who reads the stream."""
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 2))
    put = data.draw(st.text(st.characters(max_codepoint=0x7F), max_size=2))
    changed = text[:at] + put + text[at + cut :]
    try:
        kept = split(changed.encode())
    except RequestError:
        assert not _strictly(changed) or not changed.strip()
    else:
        assert _strictly(changed)
        assert all(_strictly(record.decode()) for record in kept)


@pytest.mark.parametrize("control", [b"\n", b"\r", b"\x0b", b"\x0c", b"\x1e", b"\0"])
def test_a_control_character_is_neither_kept_nor_changed(control: bytes) -> None:
    with pytest.raises(RequestError):
        split(b'{"a":"x%by"}' % control)
    if control not in b"\r\n":
        for body in (b'{"a":%b1}', b"[%b1]", b"1%b", b"%b1"):
            with pytest.raises(RequestError):
                split(body % control)


async def test_an_event_is_understood_however_it_is_written(start_hub: StartHub) -> None:
    """Else whoever adds half a pair to an event writes in the name of somebody else."""
    running = await start_hub()
    forged = r'{"type":"closed","x":"\ud800","n":1e400}'
    reply = await over_websocket(running.client, "s", forged)
    assert (reply["type"], reply["code"]) == ("error", "bad_event")
    assert await over_http(running.client, "t", forged) == 400


def test_half_a_pair_is_read_as_the_character_that_stands_for_it() -> None:
    event = decode(rb'{"type":"delta","text":"a\ud83d","x":"\ud83d\ude00\\ud83d"}')
    assert event == Delta("", "a\ufffd", extra={"x": "😀\\ud83d"})
    assert decode(b'{"n":1e400}') == Other({"n": float("inf")})


def test_two_halves_are_not_merged_into_what_is_no_pair() -> None:
    """A reader who joins the texts itself has the whole character."""
    bodies = [rb'{"type":"delta","text":"\ud83d"}', rb'{"type":"delta","text":"\uDE00"}']
    records = [Record(at, body, decode(body)) for at, body in enumerate(bodies)]
    assert merge(records) == records


async def test_a_state_is_told_as_it_was_sent(start_hub: StartHub) -> None:
    """Presence is read by others too."""
    running = await start_hub()
    state = r'{"n":1E5,"m":-0,"k":123456789012345678901234567890,"a":1,"a":"\ud800"}'
    async with running.client.ws_connect("/v1/ws") as socket:
        await socket.send_json({"type": "subscribe", "stream": "s", "wait": True})
        await socket.send_str(f'{{"type":"presence","stream":"s","state":{state}}}')
        async for message in socket:
            if '"joined":[{' in message.data:
                assert f'"state":{state}}}' in message.data
                return
    raise AssertionError("nobody joined")


async def test_what_was_appended_can_be_read_by_the_client_and_the_command_line(
    start_hub: StartHub,
) -> None:
    running = await start_hub()
    url = str(running.client.make_url(""))
    given = "".join(f"{text}\n" for text in STRANGE)
    command = [sys.executable, "-m", "hub"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, "publish", "s", "--json", "--url", url, stdin=pipe, stderr=pipe, env=environ()
    )
    _, said = await process.communicate(given.encode())
    assert process.returncode == 0, said
    (await running.hub.streams.open("s")).close()

    process = await asyncio.create_subprocess_exec(
        *command, "tail", "s", "--json", "--url", url, stdout=pipe, env=environ()
    )
    out, _ = await process.communicate()
    assert out.decode().splitlines() == STRANGE

    process = await asyncio.create_subprocess_exec(
        *command, "tail", "s", "--url", url, stdout=pipe, stderr=pipe, env=environ()
    )
    _, err = await process.communicate()
    assert process.returncode == 0, err

    async with Hub(url) as client, client.follow("s") as following:
        assert len([event async for event in following]) == len(STRANGE)
