"""Frames that are no commands, and more frames than anybody needs: what they cost is bounded."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType

from hub.auth import gate
from hub.auth.gate import Gate
from hub.domain.errors import CommandError
from hub.domain.principal import LOCAL, Principal
from hub.http.errors import CloseCode
from hub.protocols.websocket import commands, endpoint
from tests.conftest import Running, StartHub
from tests.support.patience import PATIENCE
from tests.support.people import KEYS, auth, bearer

MEGABYTE: Final = b'{"type":"append","stream":"s","event":[' + b"1," * 500_000


async def connect(hub: Running, who: str | None = None) -> ClientWebSocketResponse:
    headers = bearer(who) if who else {}
    return await hub.client.ws_connect("/v1/ws", headers=headers)


async def code(socket: ClientWebSocketResponse, frame: str | bytes) -> str | int:
    """The code of the error that answers a frame, or with which the connection is closed."""
    if isinstance(frame, str):
        await socket.send_str(frame)
    else:
        await socket.send_bytes(frame)
    return await heard(socket)


async def heard(socket: ClientWebSocketResponse) -> str | int:
    async with asyncio.timeout(PATIENCE):
        message = await socket.receive()
    if message.type is WSMsgType.CLOSE:
        return int(message.data)
    return str(message.json().get("code", message.json()["type"]))


@pytest.mark.parametrize(
    ("frame", "refused"),
    [
        ("no JSON", "bad_json"),
        ('{"type":"dance"}', "bad_command"),
        (b"binary", "bad_frame"),
        ("x" * 2000, "frame_too_large"),
    ],
    ids=["no JSON", "no command", "binary", "too large"],
)
async def test_a_connection_sends_so_many_frames_without_a_command(
    start_hub: StartHub, frame: str | bytes, refused: str
) -> None:
    hub = await start_hub(limits={"frame_bytes": 1000})
    socket = await connect(hub)
    for _ in range(100):
        assert await code(socket, frame) == refused
    assert await code(socket, '{"type":"ping"}') == "ok", "a client of another version goes on"
    told = [await code(socket, frame)]
    while told[-1] == refused:
        told.append(await code(socket, frame) if not socket.closed else 0)
    assert told[-1] == CloseCode.PROTOCOL_ERROR
    assert len(told) < 100


async def test_large_ones_count_for_several(start_hub: StartHub) -> None:
    hub = await start_hub()
    socket = await connect(hub)
    assert await code(socket, MEGABYTE.decode()) == "bad_json"
    assert await code(socket, '{"type":"ping"}') == "ok"
    assert await code(socket, MEGABYTE.decode()) == "bad_json"
    assert await heard(socket) == CloseCode.PROTOCOL_ERROR


async def test_they_are_forgotten_with_time(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "FORGIVEN", 1e9)
    socket = await connect(await start_hub())
    for _ in range(300):
        assert await code(socket, "no JSON") == "bad_json"


async def test_what_a_command_is_refused_for_does_not_count(start_hub: StartHub) -> None:
    socket = await connect(await start_hub())
    for _ in range(300):
        assert await code(socket, '{"type":"unsubscribe","stream":"s"}') == "not_subscribed"


async def test_they_count_as_requests_of_their_principal(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth(limits={"requests_per_minute": 20}))
    one, other = await connect(hub, "ann"), await connect(hub, "ann")
    told = [await code(socket, "no JSON") for _ in range(10) for socket in (one, other)]
    assert told == ["bad_json"] * 18 + ["rate_limit_exceeded"] * 2, "two were to connect"
    assert await code(await connect(hub, "bob"), "no JSON") == "bad_json"


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"ping"}',
        '{"type":"unsubscribe","stream":"s"}',
        '{"type":"presence","stream":"s","state":1}',
        '{"type":"auth","token":"x"}',
        "no JSON",
        b"",
    ],
)
async def test_who_sends_too_much_is_read_slowly_and_nobody_else(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch, frame: str | bytes
) -> None:
    monkeypatch.setattr(gate, "FRAMES", 0.001)
    monkeypatch.setattr(gate, "OF_REQUESTS", 0.0)
    monkeypatch.setattr(gate, "SAVED_SECONDS", 5_100.0)
    hub = await start_hub(auth=auth())
    one, other = await connect(hub, "ann"), await connect(hub, "ann")
    for socket in (one, other) * 2:
        await code(socket, frame)
    for _ in range(2):
        await one.send_str('{"type":"ping"}')
    assert await heard(one) == "ok", "the fifth"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(heard(one), 0.3)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(code(other, '{"type":"ping"}'), 0.3)
    assert await code(await connect(hub, "bob"), '{"type":"ping"}') == "ok"


async def test_pings_of_the_protocol_count_too(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "FRAMES", 0.001)
    monkeypatch.setattr(gate, "OF_REQUESTS", 0.0)
    monkeypatch.setattr(gate, "SAVED_SECONDS", 5_100.0)
    hub = await start_hub(auth=auth())
    socket = await connect(hub, "ann")
    for _ in range(6):
        await socket.ping(b"1")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(code(socket, '{"type":"ping"}'), 0.3)


async def test_and_without_authentication(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each connection, whose commands are not held up by their number."""
    monkeypatch.setattr(endpoint, "PINGS", 5.0)
    monkeypatch.setattr(endpoint, "PINGS_SAVED", 0.001)
    hub = await start_hub()
    socket = await connect(hub)
    for _ in range(20):
        assert await code(socket, '{"type":"ping"}') == "ok"
    for _ in range(5):
        await socket.ping(b"1")
    assert await code(socket, '{"type":"ping"}') == "ok"
    await socket.ping(b"1")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(code(socket, '{"type":"ping"}'), 0.3)
    assert await code(await connect(hub), '{"type":"ping"}') == "ok"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def nobody(_: Any) -> Principal:
    return LOCAL


def test_a_page_that_is_busy_never_waits() -> None:
    """Sixteen tabs: each tells ten times in a second what is written, and pings."""
    clock = Clock()
    made = Gate(authorize=nobody, requests_per_minute=600, clock=clock)
    ann = Principal("ann")
    for _ in range(3600):
        clock.now += 1.0
        assert not any(made.pace(ann, 200) for _ in range(80))


def test_more_is_allowed_with_more_requests_and_anything_without_limits() -> None:
    clock, ann = Clock(), Principal("ann")
    for most, waits in ((600, True), (60_000, False), (0, False)):
        made = Gate(authorize=nobody, requests_per_minute=most, clock=clock)
        assert any(made.pace(ann, 200) for _ in range(5_000)) == waits
        assert not any(made.pace(LOCAL, 200) for _ in range(5_000))


def test_principals_and_sizes_are_counted() -> None:
    made = Gate(authorize=nobody, requests_per_minute=600, clock=Clock())
    told = [made.pace(Principal("ann"), 1_000_000) for _ in range(20)]
    assert told[0] == 0.0
    assert told[-1] > told[-2] > 0.0
    assert made.pace(Principal("bob"), 1_000_000) == 0.0


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"ping",' + b",".join(b'"%d":1' % number for number in range(90_000)) + b"}",
        b'{"type":"generate","messages":[' + b"1," * 500_000 + b"1]}",
    ],
    ids=["fields", "messages"],
)
def test_not_all_that_is_wrong_is_looked_at(frame: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    explained: list[int] = []

    def counted(kind: str, invalid: Any) -> str:
        explained.append(invalid.error_count())
        return kind

    monkeypatch.setattr(commands, "_explained", counted)
    with pytest.raises(CommandError):
        commands.parse(frame)
    assert sum(explained) <= 1


async def test_without_a_credential_frames_are_small(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth())
    socket = await connect(hub)
    large = f'{{"type":"append","stream":"s","event":{{"text":"{"x" * 40_000}"}}}}'
    assert await code(socket, large) == "frame_too_large"
    assert await code(socket, f'{{"type":"auth","token":"{KEYS["ann"]}"}}') == "ok"
    assert await code(socket, large.replace('"s"', '"chat/ann/1"')) == "ok"


async def test_strangers_at_an_address_keep_nobody_there_from_signing_in(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "FRAMES", 0.001)
    monkeypatch.setattr(gate, "OF_REQUESTS", 0.0)
    monkeypatch.setattr(gate, "SAVED_SECONDS", 2_000.0)
    hub = await start_hub(auth=auth())
    strangers = [await connect(hub) for _ in range(4)]
    for socket in strangers:
        for _ in range(10):
            await socket.send_str('{"type":"ping"}')
    ann = await connect(hub)
    assert await code(ann, f'{{"type":"auth","token":"{KEYS["ann"]}"}}') == "ok"


async def test_a_stranger_is_read_slowly(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "EARLY_FRAMES", 3.0)
    socket = await connect(await start_hub(auth=auth(token_seconds=3_000)))
    for _ in range(3):
        await code(socket, '{"type":"ping"}')
    await socket.send_str('{"type":"ping"}')
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(heard(socket), 0.3)
