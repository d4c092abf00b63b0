"""What clients send is parsed in turns, however much it costs."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from aiohttp import web

import hub
from hub.http.turns import SLICE, Turns
from tests.http.test_acceptor import opened
from tests.support.loop_rounds import Rounds
from tests.support.raw_socket import UPGRADE, client_frame, exchange

CHUNKS = 100_000
CLIENTS = 4


def always_late() -> Callable[[], float]:
    """A clock by which every slice takes a second."""
    seconds = count()
    return lambda: float(next(seconds))


class Sent:
    """Some slices of one client, noted in ``parsed`` by its name."""

    def __init__(self, turns: Turns, name: str, slices: int, parsed: list[str]) -> None:
        self._turns = turns
        self._name = name
        self._left = slices
        self._parsed = parsed

    def parse(self) -> None:
        self._parsed.append(self._name)
        self._left -= 1
        if self._left:
            self._turns.wait(self)


async def test_each_gets_a_slice_in_turn_and_others_go_on_in_between() -> None:
    turns = Turns(clock=always_late())
    parsed: list[str] = []
    for name in "abc":
        turns.wait(Sent(turns, name, 2, parsed))
    for _ in range(6):
        parsed.append("-")
        await asyncio.sleep(0)
    assert "".join(parsed) == "-a-b-c-a-b-c"


async def test_quick_ones_need_no_turns_of_their_own() -> None:
    turns = Turns(clock=lambda: 0.0)
    parsed: list[str] = []
    turns.wait(Sent(turns, "a", 3, parsed))
    await asyncio.sleep(0)
    assert parsed == ["a", "a", "a"]


async def test_one_that_fails_holds_up_no_others() -> None:
    class Broken:
        def parse(self) -> None:
            raise ValueError("broken")

    turns = Turns(clock=always_late())
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    parsed: list[str] = []
    turns.wait(Broken())
    turns.wait(Sent(turns, "b", 1, parsed))
    for _ in range(3):
        await asyncio.sleep(0)
    assert parsed == ["b"]
    assert len(told) == 1


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Rounds], None]:
    """Notes the bytes that aiohttp is given to parse."""
    parse = web.RequestHandler.data_received

    def note(rounds: Rounds) -> None:
        def data_received(self: web.RequestHandler, data: bytes) -> None:
            rounds.note(len(data))
            parse(self, data)

        def note_tail(name: str) -> None:
            goes_on = getattr(web.RequestHandler, name)

            def noted(self: web.RequestHandler, *args: Any, **kw: Any) -> Any:
                rounds.note(len(self._message_tail))
                return goes_on(self, *args, **kw)

            monkeypatch.setattr(web.RequestHandler, name, noted)

        monkeypatch.setattr(web.RequestHandler, "data_received", data_received)
        note_tail("set_parser")
        note_tail("finish_response")

    return note


async def test_bodies_in_chunks_of_one_byte_arrive_whole_and_a_slice_in_a_turn(
    noted: Callable[[Rounds], None],
) -> None:
    async with opened() as (door, port):
        door.turns = Turns(clock=always_late())

        def put(name: int) -> bytes:
            head = b"PUT /v1/stream/s%d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" % name
            return head + b"Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"

        sent = b"".join(b"1\r\n%d\r\n" % (n % 10) for n in range(CHUNKS)) + b"0\r\n\r\n"
        with Rounds() as rounds:
            noted(rounds)
            found = await asyncio.gather(*(exchange(port, put(n), sent) for n in range(CLIENTS)))
        assert [answer[9:12] for answer in found] == [b"201"] * CLIENTS
        # The first slice of each, and one of all that wait.
        assert rounds.most <= (CLIENTS + 1) * SLICE
        read = (
            b"GET /v1/stream/s0?offset=-1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        whole = (await exchange(port, read)).partition(b"\r\n\r\n")[2]
        assert whole == b"0123456789" * (CHUNKS // 10)


async def test_an_application_has_the_hubs_server_accept_for_it(
    noted: Callable[[Rounds], None],
) -> None:
    """As docs/embedding.md says."""
    app = web.Application()
    hub.setup(app, prefix="/hub", config=hub.Config.model_validate({"store": {"url": "memory:"}}))
    own = web.AppKey("own", list[bytes])
    app[own] = []

    async def take(request: web.Request) -> web.Response:
        app[own].append(await request.read())
        return web.Response()

    app.router.add_put("/own", take)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    acceptor = hub.Acceptor(runner, sockets=100, idle_seconds=75.0, access_log=False)
    acceptor.turns = Turns(clock=always_late())
    sent = b"1\r\nx\r\n" * CHUNKS + b"0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        await acceptor.open([listening])
        port = listening.getsockname()[1]
        for path in ("/hub/v1/stream/s", "/own"):
            head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".encode()
            head += b"Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
            with Rounds() as rounds:
                noted(rounds)
                answer = await exchange(port, head, sent)
            assert answer.startswith(b"HTTP/1.1 20")
            assert rounds.most <= 2 * SLICE
        await app[hub.FAREWELL].drain()
        await acceptor.close()
        await runner.cleanup()
    assert app[own] == [b"x" * CHUNKS]


async def test_fragments_of_a_websocket_are_parsed_a_slice_in_a_turn(
    noted: Callable[[Rounds], None],
) -> None:
    async with opened() as (door, port):
        door.turns = Turns(clock=always_late())
        upgrade = UPGRADE.replace(b"Host: hub", b"Host: localhost") + b"\r\n"
        begun = client_frame(b'{"type":', final=False)
        pieces = client_frame(b"", 0, final=False) * CHUNKS
        end = client_frame(b'"ping"}', 0) + client_frame(b"\x03\xe8", 8)
        with Rounds() as rounds:
            noted(rounds)
            answer = await exchange(port, upgrade, begun, pieces, end)
        assert b'{"type":"ok"}' in answer
        assert rounds.most <= 2 * SLICE


async def test_what_follows_a_declined_upgrade_is_parsed_a_slice_in_a_turn(
    noted: Callable[[Rounds], None],
) -> None:
    async with opened() as (door, port):
        door.turns = Turns(clock=always_late())
        upgrade = UPGRADE.replace(
            b"/v1/ws HTTP/1.1\r\nHost: hub", b"/v1/stream/s HTTP/1.1\r\nHost: localhost"
        )
        put = b"PUT /v1/stream/s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        put += b"Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
        sent = b"1\r\nx\r\n" * CHUNKS + b"0\r\n\r\n"
        with Rounds() as rounds:
            noted(rounds)
            answer = await exchange(port, upgrade, b"\r\n", put, sent)
        assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"404", b"201"]
        assert rounds.most <= 2 * SLICE


async def test_a_connection_whose_slice_cannot_be_parsed_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parse = web.RequestHandler.data_received

    def data_received(self: web.RequestHandler, data: bytes) -> None:
        if b"!" in data:
            raise ValueError("broken")
        parse(self, data)

    monkeypatch.setattr(web.RequestHandler, "data_received", data_received)
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with opened() as (door, port):
        door.turns = Turns(clock=always_late())
        put = b"PUT /v1/stream/s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20001\r\n\r\n"
        assert await exchange(port, put, b"x" * 20_000, b"!") == b""
    assert len(told) == 1
