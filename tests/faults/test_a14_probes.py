"""A14: whoever watches over a hub is answered, also when others have taken all there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from hub.http.acceptor import RESERVE
from tests.http.test_acceptor import opened
from tests.support.loopback_hub import eventually, hub_on_loopback
from tests.support.patience import PATIENCE
from tests.support.raw_socket import exchange

PROBES = ["/livez", "/readyz", "/metrics"]
PROBE = "{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"


@pytest.fixture(autouse=True)
def _long_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine who does not ask is not sent away before the probes come, nor they."""
    monkeypatch.setattr("hub.http.acceptor.HEARD_SECONDS", PATIENCE)


@asynccontextmanager
async def greedy(port: int, many: int, sent: bytes = b"") -> AsyncIterator[None]:
    """A client with many connections on which it says nothing, or not enough."""
    # Not only the writers: a reader that nobody keeps takes its connection with it.
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(many)]
    try:
        for _, writer in opened:
            writer.write(sent)
        yield
    finally:
        for _, writer in opened:
            writer.transport.abort()


def get(path: str, method: str = "GET") -> bytes:
    return PROBE.format(method, path).encode()


@pytest.mark.parametrize("sent", [b"", b"GET /li", get("/livez")[:-2]])
async def test_probes_are_answered_when_one_client_holds_all_sockets(sent: bytes) -> None:
    async with (
        opened(sockets=3) as (door, port),
        greedy(port, 3),
    ):
        await eventually(lambda: door.inside == 3)
        # However many more it opens: those that do not ask give way to those that do.
        async with greedy(port, 3 * RESERVE, sent):
            await eventually(lambda: len(door.gates) == RESERVE)
            for path in PROBES:
                for method in ("GET", "HEAD"):
                    given = await exchange(port, get(path, method))
                    assert given.startswith(b"HTTP/1.1 200 ")
                    assert b"\r\nConnection: close\r\n" in given, "it makes way for the next"
            assert (await exchange(port, get("/readyz?verbose"))).startswith(b"HTTP/1.1 200 ")
            for other in (get("/"), get("/livez", "POST"), get("/livez/x"), b"garbage\r\n\r\n"):
                given = await exchange(port, other)
                assert given.startswith(b"HTTP/1.1 429 ")
                assert orjson.loads(given.partition(b"\r\n\r\n")[2])["error"]["code"] == (
                    "limit_exceeded"
                )
        assert door.probing == 0
    await eventually(lambda: not door.gates)


async def test_a_head_may_come_in_pieces_but_not_without_end() -> None:
    async with opened(sockets=1) as (door, port), greedy(port, 1):
        await eventually(lambda: door.inside == 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte in get("/livez"):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await reader.read()).endswith(b"ok\n")
        writer.close()
        endless = get("/livez")[:-2] + b"X: " + b"x" * 9000
        assert (await exchange(port, endless)).startswith(b"HTTP/1.1 429 ")
        assert not door.gates


async def test_only_so_many_are_answered_beyond_the_limit() -> None:
    async with opened(sockets=1) as (door, port), greedy(port, 1):
        await eventually(lambda: door.inside == 1)
        door.probing += RESERVE
        assert (await exchange(port, get("/livez"))).startswith(b"HTTP/1.1 429 ")
        door.probing -= RESERVE
        assert (await exchange(port, get("/livez"))).startswith(b"HTTP/1.1 200 ")


async def test_probes_are_answered_when_there_are_as_many_connections_as_may_be() -> None:
    live = b"GET /v1/live/s HTTP/1.1\r\nHost: hub\r\n\r\n"
    async with hub_on_loopback(limits={"connections": 2}) as running:
        await running.hub.streams.create("s")
        async with greedy(running.port, 2, live):
            await eventually(lambda: len(running.hub.connections) == 2)
            refused = await exchange(
                running.port, live.replace(b"hub\r", b"hub\r\nConnection: close\r")
            )
            assert refused.startswith(b"HTTP/1.1 429 ")
            for path in PROBES:
                last = get(path).replace(b"keep-alive", b"close").replace(b"localhost", b"hub")
                assert (await exchange(running.port, last)).startswith(b"HTTP/1.1 200 ")
