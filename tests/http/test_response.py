"""Streaming responses on real sockets: progress, the end, breaking off, clients that leave."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import pytest
import uvloop
from aiohttp import web

from hub.domain.errors import HubError, UpstreamError
from hub.http.errors import answer_to
from hub.pipeline.pipeline import Pipeline
from tests.support.patience import PATIENCE
from tests.support.recording_sources import Recorded

LOOPS: Final = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
on_each_loop = pytest.mark.parametrize("loop", LOOPS)
REQUEST: Final = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LAST: Final = b"0\r\n\r\n"
"""The end of a body in chunks."""


class Plain:
    """Items are bytes already; an error shows in brackets."""

    def response(self) -> web.StreamResponse:
        return web.StreamResponse()

    def encode(self, item: bytes) -> bytes:
        return item

    def error(self, error: HubError) -> bytes:
        return f"[{error.code}]".encode()


class Client:
    """One raw connection, so that every byte and the way it ends can be seen."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, request: bytes = REQUEST) -> None:
        self.writer.write(request)
        await self.writer.drain()

    async def until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(mark)

    async def rest(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    def stop_reading(self) -> None:
        self._transport.pause_reading()

    def read_on(self) -> None:
        self._transport.resume_reading()

    def leave(self) -> None:
        self.writer.close()

    @property
    def _transport(self) -> asyncio.Transport:
        # uvloop's is not of that class, and typeshed's writer promises only half of it.
        return cast(asyncio.Transport, self.writer.transport)


Connect = Callable[[], Awaitable[Client]]


def play(
    loop: str,
    pipeline: Callable[[], Pipeline[bytes]],
    scenario: Callable[[Connect], Awaitable[None]],
    **options: Any,
) -> None:
    """Serve ``pipeline`` as an ordinary application would, and play a client's part.

    An ordinary application does not cancel the handlers of clients that left.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        return await pipeline().respond(request, Plain(), **options)

    async def played() -> None:
        async with serving(handle) as connect:
            await scenario(connect)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(played())


@asynccontextmanager
async def serving(
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[Connect]:
    async def answered(request: web.Request) -> web.StreamResponse:
        try:
            return await handle(request)
        except Exception as error:
            return answer_to(error, request)

    app = web.Application()
    app.router.add_get("/", answered)
    runner = web.AppRunner(app, handler_cancellation=False, shutdown_timeout=0.1)
    await runner.setup()
    # Little space in the kernel on both sides, so that a client that does not read is soon
    # felt by the server.
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    await web.SockSite(runner, listening).start()
    clients: list[Client] = []

    async def connect() -> Client:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, runner.addresses[0][:2])
        clients.append(Client(*await asyncio.open_connection(sock=made, limit=2**16)))
        return clients[-1]

    try:
        yield connect
    finally:
        for client in clients:
            client.leave()
        await runner.cleanup()


async def closed(source: Recorded[Any]) -> None:
    """Return as soon as the source is closed."""
    async with asyncio.timeout(PATIENCE):
        await source.left.wait()


@on_each_loop
def test_items_arrive_as_they_come_and_the_end_is_marked(loop: str) -> None:
    gates: list[asyncio.Event] = []

    async def source() -> AsyncIterator[bytes]:
        yield b"first;"
        gates.append(asyncio.Event())
        await gates[0].wait()
        yield b"second;"

    async def scenario(connect: Connect) -> None:
        client = await connect()
        await client.ask()
        await client.until(b"first;")
        gates[0].set()
        assert LAST in await client.until(LAST)

    play(loop, lambda: Pipeline(source), scenario)


def test_items_of_one_read_go_out_in_one_write() -> None:
    async def scenario(connect: Connect) -> None:
        client = await connect()
        await client.ask()
        assert b"\r\n9\r\nonetwosix\r\n" in await client.until(LAST)

    read = [b"one", b"two", b"six"]
    play("asyncio", lambda: Pipeline(Recorded([read])).flat_map(iter), scenario)


def test_an_endless_lot_does_not_wait_for_its_end() -> None:
    async def scenario(connect: Connect) -> None:
        client = await connect()
        await client.ask()
        for _ in range(3):
            await client.until(b"x" * 1000)
        client.leave()

    def forever(_: object) -> Any:
        while True:
            yield b"x" * 1000

    play("asyncio", lambda: Pipeline(Recorded([0])).flat_map(forever), scenario)


def test_nothing_at_all_is_a_whole_response() -> None:
    async def scenario(connect: Connect) -> None:
        client = await connect()
        await client.ask()
        head = await client.until(LAST)
        assert head.startswith(b"HTTP/1.1 200 ")

    play("asyncio", lambda: Pipeline(Recorded([b"", b""])), scenario)


def test_a_connection_is_used_again_after_a_whole_response() -> None:
    async def scenario(connect: Connect) -> None:
        client = await connect()
        for _ in range(2):
            await client.ask()
            await client.until(b"all" + b"\r\n" + LAST)

    play("asyncio", lambda: Pipeline(Recorded([b"all"])), scenario)


@on_each_loop
def test_an_error_is_told_and_then_the_connection_breaks_off(loop: str) -> None:
    """Nobody can take it for the end: the last chunk never comes."""
    source = Recorded([b"half;"], fails=UpstreamError("cut", code="upstream_reset"))

    async def scenario(connect: Connect) -> None:
        client = await connect()
        await client.ask()
        rest = await client.rest()
        assert b"half;" in rest
        assert rest.endswith(b"[upstream_reset]\r\n")
        assert source.closed == 1

    play(loop, lambda: Pipeline(source), scenario)


def test_what_one_read_brought_before_an_error_is_written() -> None:
    def parse(item: int) -> bytes:
        if item == 2:
            raise UpstreamError("malformed", code="upstream_malformed")
        return b"%d;" % item

    async def scenario(connect: Connect) -> None:
        client = await connect()
        await client.ask()
        assert (await client.rest()).endswith(b"0;1;\r\n14\r\n[upstream_malformed]\r\n")

    play(
        "asyncio", lambda: Pipeline(Recorded([0])).flat_map(lambda _: range(5)).map(parse), scenario
    )


def test_an_error_before_anything_was_written_gets_a_status_of_its_own() -> None:
    async def scenario(connect: Connect) -> None:
        client = await connect()
        await client.ask()
        head = await client.until(b"}}")
        assert head.startswith(b"HTTP/1.1 504 ")
        assert b'"code":"upstream_stalled"' in head
        await client.ask()
        await client.until(b"HTTP/1.1 504 ")

    fails = UpstreamError("nothing came", code="upstream_stalled")
    play("asyncio", lambda: Pipeline(Recorded([], fails=fails)), scenario)


def test_a_defect_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(connect: Connect) -> None:
        client = await connect()
        await client.ask()
        rest = await client.rest()
        assert rest.endswith(b"[internal]\r\n")
        assert b"secret" not in rest

    with caplog.at_level(logging.ERROR, "hub"):
        play("asyncio", lambda: Pipeline(Recorded([b"a"], fails=KeyError("secret"))), scenario)
    assert "KeyError" in caplog.text


@on_each_loop
def test_a_slow_reader_gets_everything_up_to_the_error(loop: str) -> None:
    """What waits in the server to be sent is not thrown away by the breaking off."""
    pieces = [bytes([65 + n]) * 25_000 for n in range(2)]
    source = Recorded(pieces, fails=HubError("no more", code="over"))

    async def scenario(connect: Connect) -> None:
        client = await connect()
        client.stop_reading()
        await client.ask()
        await closed(source)
        await asyncio.sleep(0.05)
        client.read_on()
        rest = await client.rest()
        assert all(piece in rest for piece in pieces)
        assert rest.endswith(b"[over]\r\n")

    play(loop, lambda: Pipeline(source), scenario)


@on_each_loop
@pytest.mark.parametrize("written", [[], [b"first;"]])
def test_a_client_that_leaves_closes_a_source_that_is_silent(
    loop: str, written: list[bytes]
) -> None:
    source = Recorded(written, hangs=True)

    async def scenario(connect: Connect) -> None:
        client = await connect()
        await client.ask()
        async with asyncio.timeout(PATIENCE):
            await source.waiting.wait()
        client.leave()
        await closed(source)

    play(loop, lambda: Pipeline(source), scenario)


@on_each_loop
def test_a_client_that_leaves_closes_a_source_that_goes_on(loop: str) -> None:
    source = Recorded((b"again;" for _ in iter(int, 1)), wait=0.001)

    async def scenario(connect: Connect) -> None:
        client = await connect()
        await client.ask()
        await client.until(b"again;")
        client.leave()
        await closed(source)

    play(loop, lambda: Pipeline(source), scenario)


@on_each_loop
def test_a_client_that_stays_and_does_not_read_is_cut_off(loop: str) -> None:
    source = Recorded((b"x" * 65536 for _ in iter(int, 1)), wait=0)

    async def scenario(connect: Connect) -> None:
        client = await connect()
        client.stop_reading()
        await client.ask()
        await closed(source)
        assert source.read < 1000

    play(loop, lambda: Pipeline(source), scenario, patience=0.3)


def test_a_client_that_reads_slowly_but_reads_is_not_cut_off() -> None:
    source = Recorded([b"x" * 65536] * 100, wait=None)

    async def scenario(connect: Connect) -> None:
        client = await connect()
        await client.ask()
        tail = b""
        while not tail.endswith(LAST):
            async with asyncio.timeout(PATIENCE):
                more = await client.reader.read(2**17)
            assert more
            tail = (tail + more)[-len(LAST) :]
            await asyncio.sleep(0.03)

    play("asyncio", lambda: Pipeline(source), scenario, patience=1.0)


def test_a_cancelled_handler_does_not_end_the_body() -> None:
    source = Recorded([b"half;"], hangs=True)
    tasks: list[asyncio.Task[Any]] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        return await Pipeline(source).respond(request, Plain())

    async def played() -> None:
        async with serving(handle) as connect:
            client = await connect()
            await client.ask()
            await client.until(b"half;")
            tasks[0].cancel()
            assert LAST not in await client.rest()
            assert source.closed == 1

    asyncio.run(played())
