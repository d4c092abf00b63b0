"""The WebSocket keeps to RFC 6455, and harms nobody with whoever does not."""

from __future__ import annotations

import asyncio
import json
from typing import Final

import pytest

from hub.domain.events import Message
from tests.conftest import Running, StartHub
from tests.support.patience import PATIENCE
from tests.support.raw_socket import UPGRADE, Frame, client_frame, exchange, frames

HEAD: Final = UPGRADE + b"\r\n"
PING: Final = client_frame(b'{"type":"ping","id":"p"}')
PONG: Final = Frame(1, b'{"type":"ok","id":"p"}')
CLOSE: Final = client_frame(b"\x03\xe8", 8)
CLOSED: Final = Frame(8, b"\x03\xe8")


@pytest.fixture
async def running(start_hub: StartHub) -> Running:
    return await start_hub()


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(None, None), (("hub.v1",), "hub.v1"), (("chat", "hub.v1"), "hub.v1")],
)
async def test_its_subprotocol_is_chosen_where_it_is_offered(
    offered: tuple[str, ...] | None, chosen: str | None, running: Running
) -> None:
    async with running.client.ws_connect("/v1/ws", protocols=offered or ()) as socket:
        assert socket.protocol == chosen
        await socket.send_json({"type": "ping"})
        assert await socket.receive_json(timeout=PATIENCE) == {"type": "ok"}


async def test_compression_is_not_taken_because_frames_are_shared(running: Running) -> None:
    offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    given = await exchange(running.client.port, UPGRADE + offer, PING, CLOSE)
    assert b"permessage-deflate" not in given
    assert frames(given) == [PONG, CLOSED]


async def test_commands_that_come_with_the_handshake_are_answered(running: Running) -> None:
    assert frames(await exchange(running.client.port, HEAD, PING, PING, CLOSE)) == [
        PONG,
        PONG,
        CLOSED,
    ]


async def test_a_command_may_come_in_fragments_with_a_ping_between(running: Running) -> None:
    whole = b'{"type":"ping","id":"p"}'
    given = await exchange(
        running.client.port,
        HEAD,
        client_frame(whole[:5], 1, final=False),
        client_frame(b"alive?", 9),
        client_frame(whole[5:9], 0, final=False),
        client_frame(whole[9:], 0),
        CLOSE,
    )
    assert frames(given) == [Frame(10, b"alive?"), PONG, CLOSED]


@pytest.mark.parametrize("cut", [1, 2, 6, 7, -1])
async def test_a_frame_may_come_in_pieces(cut: int, running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.client.port)
    try:
        for piece in (HEAD, PING[:cut], PING[cut:], CLOSE):
            writer.write(piece)
            await asyncio.sleep(0.01)
        async with asyncio.timeout(PATIENCE):
            assert frames(await reader.read()) == [PONG, CLOSED]
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (client_frame(b"x", 3), 1002),
        (client_frame(b"x", 1, reserved=0x40), 1002),
        (client_frame(b"x", 0), 1002),
        (client_frame(b"x", 1, final=False) + PING, 1002),
        (client_frame(b"x" * 126, 9), 1002),
        (client_frame(b"\x03", 8), 1002),
        (client_frame(b"\xff"), 1007),
        (client_frame(b"\xed\xa0\x80"), 1007),
        (client_frame(b"\xf0\x9f", 1, final=False) + client_frame(b"x", 0), 1007),
    ],
    ids=["opcode", "reserved", "start", "nested", "control", "close", "bytes", "surrogate", "cut"],
)
async def test_what_breaks_the_protocol_closes_with_its_code_and_says_no_more(
    broken: bytes, code: int, running: Running
) -> None:
    given = frames(await exchange(running.client.port, HEAD, PING, broken, PING))
    assert given[0] == PONG
    assert given[-1].opcode == 8
    assert int.from_bytes(given[-1].payload[:2]) == code
    assert len(given) == 2


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        (UPGRADE.replace(b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 99"), 400),
        (UPGRADE.replace(b"AAAAAAAAAAAAAAAAAAAAAA==", b"AAAA"), 400),
        (UPGRADE.replace(b"AAAAAAAAAAAAAAAAAAAAAA==", b"\xff"), 400),
        (UPGRADE.replace(b"Connection: Upgrade", b"Connection: \xff"), 400),
        (UPGRADE.replace(b"Upgrade: websocket", b"Upgrade: h2c"), 426),
        (UPGRADE + b"Sec-WebSocket-Protocol: \xff\r\n", 400),
        (UPGRADE.replace(b"GET", b"POST") + b"Content-Length: 0\r\n", 405),
    ],
    ids=["version", "key", "key of bytes", "connection", "upgrade", "subprotocol", "method"],
)
async def test_a_malformed_handshake_is_refused_in_one_clear_error(
    wrong: bytes, status: int, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.client.port)
    try:
        writer.write(wrong + b"\r\n")
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            error = json.loads(await reader.readexactly(size))["error"]
    finally:
        writer.transport.abort()
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert error["code"]
    assert error["message"] not in ("", "Bad Request")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_client_that_never_answers_the_close_does_not_hold_up_the_end(
    running: Running,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.client.port)
    try:
        writer.write(HEAD + PING)
        await reader.readuntil(b'"id":"p"}')
        async with asyncio.timeout(PATIENCE):
            await running.client.server.close()
            assert [frame.opcode for frame in frames(b"\r\n\r\n" + await reader.read())] == [1, 8]
    finally:
        writer.transport.abort()


async def test_a_client_that_reads_nothing_and_asks_much_harms_nobody(
    start_hub: StartHub,
) -> None:
    """It follows, leaves and follows again while its replies cannot go out."""
    running = await start_hub(limits={"subscriptions": 2}, fanout={"write_buffer_bytes": 1024})
    hub = running.hub
    big, _ = await hub.streams.create("big")
    for _ in range(3000):
        hub.streams.append(big, Message("user", "x" * 5000))
    calm, _ = await hub.streams.create("calm")
    _, writer = await asyncio.open_connection("127.0.0.1", running.client.port, limit=1024)
    try:
        follow = client_frame(b'{"type":"subscribe","stream":"big","from":"start"}')
        leave = client_frame(b'{"type":"unsubscribe","stream":"big"}')
        quiet = client_frame(b'{"type":"subscribe","stream":"calm"}')
        writer.write(HEAD + quiet + (follow + leave) * 200)
        async with running.client.ws_connect("/v1/ws") as socket:
            await socket.send_json({"type": "subscribe", "stream": "calm"})
            assert (await socket.receive_json(timeout=PATIENCE))["type"] == "ok"
            for number in range(50):
                hub.streams.append(calm, Message("user", str(number)))
                heard = (await socket.receive_json(timeout=PATIENCE))["events"]
                assert [event["text"] for event in heard] == [str(number)]
    finally:
        writer.transport.abort()
    async with asyncio.timeout(PATIENCE):
        while hub.connections:  # noqa: ASYNC110 - until the hub has seen them leave
            await asyncio.sleep(0.01)
