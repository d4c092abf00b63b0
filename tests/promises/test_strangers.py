"""Whatever comes over a socket, and however it leaves: one answer at most, and nothing is left."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
import zlib

import pytest

from hub.connections.connection import Connection
from hub.domain.events import Message
from tests.conftest import StartHub
from tests.support.patience import PATIENCE
from tests.support.raw_socket import UPGRADE, client_frame, exchange

# An error of the hub itself


async def test_a_defect_says_nothing_to_the_client_and_all_to_the_log(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running = await start_hub()

    def fail(_: object, *, by: object) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(running.hub.generations, "find", fail)
    async with running.client.get("/v1/generations/a%0AERROR") as response:
        assert response.status == 500
        told = await response.text()
    assert json.loads(told)["error"]["code"] == "internal"
    assert "secret" not in told
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "secret of the house" in caplog.text
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize("how", ["live", "websocket"])
async def test_a_defect_after_a_response_has_begun_cuts_it_and_adds_no_other(
    how: str,
    start_hub: StartHub,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    running = await start_hub()
    await running.hub.streams.create("a")

    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Connection, "subscribe", fail)
    if how == "live":
        sent = b"GET /v1/live/a HTTP/1.1\r\nHost: hub\r\n\r\n"
    else:
        sent = UPGRADE + b"\r\n" + client_frame(b'{"type":"subscribe","stream":"a"}')
    try:
        given = await exchange(running.client.port, sent)
    except ConnectionResetError:
        given = b""
    assert given.count(b"HTTP/1.1 ") <= 1
    assert b"internal" not in given
    assert not given.endswith(b"0\r\n\r\n")
    assert [each.name for each in caplog.records if each.levelno >= logging.ERROR] == ["hub"]


# Clients that are none


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /v1/live/a HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"GET /v1/live/a?format=text HTTP/1.0\r\n\r\n",
        UPGRADE + b"\r\n",
        UPGRADE + b"\r\n" + client_frame(b'{"type":"subscribe","stream":"a","from":"start"}'),
        b"POST /v1/generations HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n"
        b'Content-Length: 999\r\n\r\n{"prompt":',
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n"
        b'Content-Length: 76\r\n\r\n{"model":"demo","stream":true,'
        b'"messages":[{"role":"user","content":"poem"}]}',
        b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"GET /",
        b"",
    ],
    ids=["sse", "text", "handshake", "websocket", "half a body", "chat", "page", "half", "nothing"],
)
@pytest.mark.parametrize("turns", [0, 2, 5])
async def test_clients_that_reset_their_connection_are_no_error_and_leave_nothing(
    sent: bytes, turns: int, start_hub: StartHub, caplog: pytest.LogCaptureFixture
) -> None:
    running = await start_hub()
    stream, _ = await running.hub.streams.create("a")
    for _ in range(100):
        running.hub.streams.append(stream, Message("user", "x" * 1000))
    loop = asyncio.get_running_loop()
    for _ in range(5):
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", running.client.port))
            await loop.sock_sendall(client, sent)
            for _ in range(turns):
                await asyncio.sleep(0)
            # To linger for zero seconds is to send an RST in place of a FIN.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    async with running.client.get("/livez") as response:
        assert response.status == 200
    async with asyncio.timeout(PATIENCE):
        while running.hub.connections or running.hub.generations.active:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


async def test_http_1_0_and_closing_are_understood(start_hub: StartHub) -> None:
    client = (await start_hub()).client
    given = await exchange(client.port, b"GET /livez HTTP/1.0\r\n\r\n")
    assert given.startswith(b"HTTP/1.0 200 OK\r\n")
    assert given.endswith(b"\r\n\r\nok\n")
    given = await exchange(
        client.port, b"HEAD /livez HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"
    )
    assert b"Content-Length: 3\r\n" in given
    assert given.endswith(b"\r\n\r\n")


async def test_pipelined_requests_are_answered_in_their_order(start_hub: StartHub) -> None:
    client = (await start_hub()).client
    given = await exchange(
        client.port,
        b"GET /livez HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"GET /v1/generations/a HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n",
    )
    statuses = [line[9:12] for line in given.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert statuses[0] == b"200"
    assert given.count(b"HTTP/1.1 200 OK") == 2
    assert given.index(b"ok\n") < given.index(b"generation_not_found") < given.rindex(b"ok\n")


@pytest.mark.parametrize(
    "sent",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /livez HTTP/1.1\r\nHost: hub\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"GET /livez HTTP/9.9\r\nHost: hub\r\n\r\n",
        b"POST /v1/generations HTTP/1.1\r\nHost: hub\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/generations HTTP/1.1\r\nHost: hub\r\nContent-Length: 2\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["garbage", "TLS", "header", "line", "bytes", "version", "length", "smuggling"],
)
async def test_what_is_no_http_is_refused_and_closed_and_tells_nothing(
    sent: bytes, start_hub: StartHub
) -> None:
    client = (await start_hub()).client
    given = await exchange(client.port, sent)
    assert given[:13] in (b"HTTP/1.0 400 ", b"HTTP/1.1 400 ")
    assert b"Traceback" not in given
    assert b".py" not in given
    async with client.get("/livez") as response:
        assert response.status == 200


async def test_a_compressed_body_is_read_and_a_broken_one_is_a_bad_request(
    start_hub: StartHub,
) -> None:
    client = (await start_hub(limits={"body_bytes": 1000})).client
    headers = {"Content-Type": "application/json", "Content-Encoding": "deflate"}
    bomb = b'{"prompt":"%b"}' % (b"x" * 10_000_000)
    for sent, status, code in (
        (zlib.compress(b'{"prompt":"echo hi"}'), 201, None),
        (zlib.compress(bomb), 413, "http_413"),
        (b"no", 400, "bad_body"),
    ):
        async with client.post("/v1/generations", data=sent, headers=headers) as response:
            assert response.status == status
            assert (await response.json()).get("error", {}).get("code") == code
