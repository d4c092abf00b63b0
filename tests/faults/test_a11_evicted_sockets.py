"""A11: nothing is left of a client that was given up, in the kernel neither."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Final

import pytest

from hub.domain.events import Message
from tests.faults.process import states
from tests.support.loopback_hub import Loopback, eventually, hub_on_loopback
from tests.support.patience import PATIENCE
from tests.support.raw_socket import UPGRADE, client_frame

pytestmark = pytest.mark.skipif(
    not Path("/proc/net/tcp").exists(), reason="only Linux shows its sockets"
)

FIN_WAIT_1: Final = "04"
LISTEN: Final = "0A"

READERS: Final = 10

LIVE = "GET /v1/live/s?format={} HTTP/1.{}\r\nHost: hub\r\n\r\n"
SUBSCRIBE = client_frame(b'{"type":"subscribe","stream":"s","from":"start"}')
WAYS = {
    "chunked": LIVE.format("sse", 1).encode(),
    "lines": LIVE.format("ndjson", 1).encode(),
    "HTTP/1.0": LIVE.format("sse", 0).encode(),
    "durable": b"GET /v1/stream/s?offset=-1&live=sse HTTP/1.1\r\nHost: hub\r\n\r\n",
    "WebSocket": UPGRADE + b"\r\n" + SUBSCRIBE,
}


async def silent(running: Loopback, sent: bytes) -> socket.socket:
    """A client that asks and takes nothing of what it is given."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(made, ("127.0.0.1", running.port))
    await loop.sock_sendall(made, sent)
    return made


@pytest.mark.parametrize("way", WAYS)
async def test_who_takes_nothing_leaves_nothing_behind(way: str) -> None:
    # A frame is larger than what the kernel holds.
    async with hub_on_loopback(
        fanout={"slow_client_timeout": 0.3, "notsent_lowat": 4096},
        streams={"sse_rotate_seconds": 600},
    ) as running:
        stream, _ = await running.hub.streams.create("s")
        for _ in range(20):
            running.hub.streams.append(stream, Message("user", "x" * 100_000))
        clients = [await silent(running, WAYS[way]) for _ in range(READERS)]
        try:
            await eventually(lambda: running.hub.counts.evictions == READERS)
            await eventually(lambda: not running.hub.connections)
            assert FIN_WAIT_1 not in states(running.port)
            await eventually(lambda: set(states(running.port)) == {LISTEN})
            # Each is told: what it has is not the whole.
            for client in clients:
                await reset(client)
        finally:
            for client in clients:
                client.close()


async def reset(client: socket.socket) -> None:
    """Read what there is, until the connection is reset."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(PATIENCE):
            while await loop.sock_recv(client, 65536):
                pass
    except ConnectionResetError:
        return
    raise AssertionError("the end looks like one")


async def test_who_takes_nothing_of_a_file_is_cut_off() -> None:
    async with hub_on_loopback(
        fanout={"slow_client_timeout": 0.3, "notsent_lowat": 4096}
    ) as running:
        client = await silent(running, b"GET /stream-file HTTP/1.1\r\nHost: hub\r\n\r\n")
        try:
            await asyncio.sleep(0.1)
            await eventually(lambda: set(states(running.port)) == {LISTEN})
            await reset(client)
        finally:
            client.close()
