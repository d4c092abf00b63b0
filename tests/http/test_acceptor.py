"""What happens to a connection before there is a request, as `serve` lets it in."""

from __future__ import annotations

import asyncio
import logging
import socket
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.compression_utils import ZLibDecompressor

from hub import Config, make_app
from hub.http.acceptor import Acceptor
from hub.http.sockets import listen
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.raw_socket import exchange

LIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def opened(*, sockets: int = 100, idle: float = 60.0) -> AsyncIterator[tuple[Acceptor, int]]:
    config = Config.model_validate({"store": {"url": "memory:"}, "server": {"drain_seconds": 0.0}})
    runner = web.AppRunner(make_app(config), handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    door = Acceptor(runner, sockets=sockets, idle_seconds=idle, access_log=False)
    listening = listen("127.0.0.1", 0, notsent_lowat=16_384)
    try:
        await door.open(listening)
        yield door, listening[0].getsockname()[1]
    finally:
        await door.close()
        await runner.cleanup()


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"garbage\r\n\r\n", b"400", "bad_http"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400", "bad_http"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400", "bad_http"),
        (b"GET /\xff HTTP/1.1\r\nHost: hub\r\n\r\n", b"400", "bad_http"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400", "bad_http"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", b"400", "bad_http"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 1000 + b"\r\n", b"400", "bad_http"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000 + b"\r\n\r\n", b"431", "head_too_large"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"431", "head_too_large"),
    ],
    ids=["garbage", "TLS", "HTTP/2", "bytes", "hosts", "length", "many", "header", "line"],
)
async def test_garbage_is_told_so_in_the_hubs_shape_and_fills_no_log(
    sent: bytes, status: bytes, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened() as (door, port):
        for before in (b"", LIVE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if before:
                writer.write(before)
                await reader.readuntil(b"ok\n")
            writer.write(sent)
            async with asyncio.timeout(PATIENCE):
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            assert head[9:12] == status
            assert b"application/json" in head
            assert b"\r\nServer: streamhub\r\n" in head + b"\r\n"
            assert orjson.loads(body)["error"]["code"] == code
        await eventually(lambda: door.inside == 0)
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: y", LIVE, LIVE + b"GET"],
    ids=["nothing", "line", "head", "answered", "the next"],
)
async def test_a_connection_without_a_request_is_closed_in_time(sent: bytes) -> None:
    async with opened(idle=0.1) as (door, port):
        await exchange(port, sent)  # which waits for the end
        await eventually(lambda: door.inside == 0)


async def test_a_head_that_comes_by_drops_is_not_waited_for() -> None:
    async with opened(idle=0.1) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        ended = asyncio.ensure_future(reader.read())
        async with asyncio.timeout(PATIENCE):
            for byte in LIVE[:-2] + b"X: y\r\n" * 10_000:
                writer.write(bytes([byte]))
                await asyncio.wait([ended], timeout=0.01)
                if ended.done():
                    break
        with suppress(ConnectionResetError):  # one drop came after the end
            assert await ended == b""
        writer.transport.abort()


async def test_one_connection_too_many_is_told_to_come_later() -> None:
    async with opened(sockets=2) as (door, port):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        await eventually(lambda: door.inside == 2)
        given = await exchange(port)
        assert given.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nRetry-After: " in given
        assert orjson.loads(given.partition(b"\r\n\r\n")[2])["error"]["code"] == "limit_exceeded"
        held[0][1].write(LIVE)
        assert (await held[0][0].readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 ")
        held[1][1].close()
        await eventually(lambda: door.inside == 1)
        assert (await exchange(port, LAST)).startswith(b"HTTP/1.1 200 ")
        held[0][1].close()


async def test_what_is_inside_stays_when_the_door_is_closed() -> None:
    async with opened() as (door, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LIVE)
        await reader.readuntil(b"ok\n")
        await door.close()
        writer.write(LIVE)
        await reader.readuntil(b"ok\n")
        with pytest.raises(ConnectionRefusedError):
            await exchange(port, LAST)
        writer.close()


async def test_who_came_before_the_door_closed_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that wait to be accepted too: the closing of the socket would reset them."""
    monkeypatch.setattr("hub.http.acceptor.HEARD_SECONDS", PATIENCE)
    async with opened() as (door, port):
        early = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await eventually(lambda: door.inside == 3)
        waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        closing = asyncio.create_task(door.close())
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await exchange(port, LAST)
        assert not closing.done()
        for _, writer in early:
            writer.write(LAST)
        for reader, writer in early:
            assert (await reader.read()).endswith(b"ok\n")
            writer.close()
        for one in waiting:
            one.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(one, LAST)
        await closing
        for one in waiting:
            reader, writer = await asyncio.open_connection(sock=one)
            assert (await reader.read()).endswith(b"ok\n")
            writer.close()


async def test_who_never_says_anything_is_not_waited_for() -> None:
    async with opened() as (door, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await eventually(lambda: door.inside == 1)
        async with asyncio.timeout(PATIENCE):
            await door.close()
        assert door.inside == 1
        writer.close()


async def test_while_it_drains_each_answer_is_the_last_of_its_connection() -> None:
    async with opened() as (door, port):
        door.draining = True
        given = await exchange(port, LIVE)  # which waits for the end
        assert b"\r\nConnection: close\r\n" in given


async def test_what_is_left_of_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp reads a refused body to its end, for seconds in which nobody else has a turn."""
    unpacked = 0
    plain = ZLibDecompressor.decompress_sync

    def counting(self: ZLibDecompressor, *given: Any, **named: Any) -> bytes:
        nonlocal unpacked
        piece = plain(self, *given, **named)
        unpacked += len(piece)
        return piece

    monkeypatch.setattr(ZLibDecompressor, "decompress_sync", counting)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(b"x" * 1_000_000) for _ in range(300)) + packer.flush()
    head = b"POST /v1/generations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with opened() as (_, port):
        with suppress(ConnectionResetError):  # what was not read resets the connection
            assert (await exchange(port, head, bomb)).startswith(b"HTTP/1.1 413 ")
    assert 1_000_000 < unpacked < 200_000_000


def test_a_runner_that_is_not_set_up_has_no_door() -> None:
    runner = web.AppRunner(web.Application())
    with pytest.raises(RuntimeError):
        Acceptor(runner, sockets=1, idle_seconds=1, access_log=False)


async def test_who_has_given_up_waiting_for_a_handler_is_not_told_of_its_end() -> None:
    """Both in one turn of the loop: it was an error in the log at a stop, once in a while."""
    async with opened() as (door, _):
        connection = door.let_in()
        waiter = asyncio.get_running_loop().create_future()
        connection._handler_waiter = waiter
        assert connection._handler_waiter is waiter
        waiter.cancel()
        assert connection._handler_waiter is None
