"""P6 and P7: a slow client delays nobody, and no client makes the hub hold more than so much.

Real servers and sockets on loopback, under both event loops that `serve` may run on.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from unittest.mock import patch

import pytest

from hub.connections.connection import GIVEN_UP, REPLIES, Connection
from hub.domain.stream_settings import StreamSettings
from hub.http import response as http_response
from hub.http.client_socket import give_up
from tests.conftest import StartHub
from tests.support.loopback_hub import eventually, hub_on_loopback
from tests.support.numbered_records import Run, both_loops, length, numbers, say
from tests.support.people import auth, bearer
from tests.support.raw_socket import client_frame
from tests.support.transport_readers import NDJSON, SSE, Reader, Text, WebSocket

# P6: a slow client never delays another


@both_loops
@pytest.mark.parametrize("driver", [WebSocket, SSE, NDJSON])
def test_p6_who_stops_reading_delays_nobody_holds_little_and_catches_up(
    run: Run, driver: type[Reader]
) -> None:
    run(_slow_and_fast(driver))


async def _slow_and_fast(driver: type[Reader]) -> None:
    async with hub_on_loopback(fanout={"slice": 3}) as running:
        hub = running.hub
        stream, _ = await hub.streams.create("chat")
        slow = await running.follow(driver, "chat", kernel_buffer=4096)
        (connection,) = hub.connections
        fast = [await running.follow(driver, "chat") for _ in range(5)]
        slow.pause()
        most = 0
        for _ in range(150):
            say(hub, stream, 10, 1000)
            await asyncio.sleep(0)
            most = max(most, _held(connection))
        # All others have everything, while this one has not even been looked at.
        whole = await length(stream)
        for reader in fast:
            await reader.until(lambda: reader.length == whole)  # noqa: B023
            assert numbers(reader) == list(range(1500))
        assert hub.counts.evictions == 0
        assert len(numbers(slow)) < 750
        assert most <= 65536 + 65536 + 8192, "the buffer's mark and a frame of a catch-up"
        assert connection.busy
        assert connection.outbox_size == 1, "a place, not copies"

        before = slow.frames
        slow.resume()
        await slow.until(lambda: slow.length == whole)
        assert numbers(slow) == list(range(1500))
        assert slow.resets == []
        if isinstance(slow, WebSocket):
            behind = [event for event in slow.events if event["text"].count("<") > 10]
            assert behind, "what it missed came as merged deltas"
            assert slow.frames - before < 200
        say(hub, stream, 1)
        await slow.until(lambda: numbers(slow)[-1] == 1500)
        await eventually(lambda: not connection.busy)


def _held(connection: Connection) -> int:
    """Bytes that the hub holds for a connection, the kernel's left out."""
    transport = connection.wire.transport
    return transport.get_write_buffer_size() if transport is not None else 0


@both_loops
def test_p6_who_never_reads_again_is_cut_and_the_others_do_not_notice(run: Run) -> None:
    run(_stuck())


async def _stuck() -> None:
    async with hub_on_loopback(fanout={"slow_client_timeout": 1.0}) as running:
        hub = running.hub
        stream, _ = await hub.streams.create("chat")
        stuck = [
            await running.follow(driver, "chat", kernel_buffer=4096)
            for driver in (WebSocket, SSE, Text)
        ]
        stays = await running.follow(WebSocket, "chat")
        for reader in stuck:
            reader.pause()
        for _ in range(60):
            say(hub, stream, 20, 500)
            await asyncio.sleep(0.01)
        await eventually(lambda: len(hub.connections) == 1)
        assert hub.counts.evictions == 3
        await stays.until(lambda: numbers(stays) == list(range(1200)))
        for reader in stuck:
            reader.resume()
            await reader.until(lambda: reader.end == "cut")  # noqa: B023
        # What was cut comes back, and misses nothing.
        back = stuck[0]
        await back.open()
        await back.until(lambda: numbers(back) == list(range(1200)))


@both_loops
def test_p6_who_reads_slowly_but_steadily_is_not_cut(run: Run) -> None:
    run(_steady())


async def _steady() -> None:
    async with hub_on_loopback(fanout={"slow_client_timeout": 2.5}) as running:
        hub = running.hub
        stream, _ = await hub.streams.create("chat")
        steady = await running.follow(WebSocket, "chat", kernel_buffer=16384)
        (connection,) = hub.connections
        paused = 0
        for _ in range(54):  # in longer than a client may take nothing
            steady.pause()
            say(hub, stream, 1, 100_000)
            await asyncio.sleep(0.05)
            paused += connection.wire.writing_paused
            before = steady.received
            steady.resume()
            await steady.until(lambda: steady.received > before + 40_000)  # noqa: B023
        assert paused >= 53, "whenever it is looked at, its buffer is full"
        await steady.until(lambda: numbers(steady) == list(range(54)))
        assert hub.counts.evictions == 0


# P7: memory is bounded, whatever clients do


async def _floods(client: WebSocket, frames: bytes) -> AsyncIterator[int]:
    """Send `frames` again and again, until the hub reads no more: 1 MB stay with the client.

    Yields how often they were sent since the last time.

    How much the kernel takes in between differs from machine to machine (some MB);
    a hub that reads on for ever fails this.
    """
    sent = 0
    while client.unsent <= 1_000_000:
        for _ in range(20):
            client.write(frames)
            sent += len(frames)
            await asyncio.sleep(0)
            yield 1
        assert sent < 100_000_000, "the hub reads what it cannot answer"
        for _ in range(50):
            await asyncio.sleep(0.005)
            yield 0


@both_loops
def test_p7_a_client_that_asks_and_never_reads_is_not_read_any_more(run: Run) -> None:
    run(_asks_and_never_reads())


async def _asks_and_never_reads() -> None:
    async with hub_on_loopback() as running:
        await running.hub.streams.create("chat")
        greedy = await running.follow(WebSocket, "chat", kernel_buffer=4096)
        (connection,) = running.hub.connections
        greedy.pause()
        ping = json.dumps({"type": "ping", "id": "p" * 200}).encode()
        most = asked = 0
        async for times in _floods(greedy, client_frame(ping) * 100):
            asked += 100 * times
            most = max(most, _held(connection))
            assert connection.outbox_size <= REPLIES
        assert most <= 65536 + 2000
        # Nothing was thrown away either: when it reads, it is answered.
        greedy.resume()
        await greedy.until(lambda: greedy.answers == asked + 1)


@both_loops
def test_p7_neither_is_one_that_sends_control_frames(run: Run) -> None:
    run(_pings_and_never_reads())


async def _pings_and_never_reads() -> None:
    async with hub_on_loopback() as running:
        await running.hub.streams.create("chat")
        greedy = await running.follow(WebSocket, "chat", kernel_buffer=4096)
        (connection,) = running.hub.connections
        greedy.pause()
        most = 0
        async for _ in _floods(greedy, client_frame(b"p" * 125, 9) * 1000):
            most = max(most, _held(connection))
        assert most <= 2 * 65536 + 2000


async def test_p7_a_client_that_comes_and_goes_while_it_reads_nothing_stops_no_stream() -> None:
    """The outbox has room for whatever it can do before its answers stop it."""
    async with hub_on_loopback(limits={"subscriptions": 5}) as running:
        hub = running.hub
        streams = [(await hub.streams.create(f"s{number}"))[0] for number in range(5)]
        nasty = await running.follow(WebSocket, "s0", kernel_buffer=4096)
        stays = await running.follow(NDJSON, "s0")
        for stream in streams[1:]:
            await nasty.ask(type="subscribe", stream=stream.name)
        connection = next(one for one in hub.connections if len(one.subscriptions) == 5)
        nasty.pause()
        for _ in range(100):
            for stream in streams:
                say(hub, stream, 1, 1000)
            await asyncio.sleep(0)
        assert connection.busy
        for _ in range(40):
            for stream in streams:
                nasty.tell(type="unsubscribe", stream=stream.name)
                nasty.tell(type="subscribe", stream=stream.name, **{"from": "start"})
        for _ in range(50):
            await asyncio.sleep(0.002)
            for stream in streams:
                say(hub, stream, 1)
        assert connection.outbox_size <= 5 + REPLIES + GIVEN_UP
        await stays.until(lambda: numbers(stays) == list(range(150)))
        nasty.resume()
        await nasty.ask(type="ping")


@both_loops
def test_p7_who_says_goodbye_and_never_reads_the_rest_is_let_go(run: Run) -> None:
    run(_goodbye())


async def _goodbye() -> None:
    async with hub_on_loopback(fanout={"slow_client_timeout": 2.5}) as running:
        stream, _ = await running.hub.streams.create("chat")
        client = await running.follow(WebSocket, "chat", kernel_buffer=4096)
        (connection,) = running.hub.connections
        client.pause()
        for _ in range(30):
            say(running.hub, stream, 1, 2000)
            await asyncio.sleep(0.001)
        assert _held(connection) > 0
        assert not connection.busy
        client.write(client_frame(b"\x03\xe8", 8))
        await eventually(lambda: not running.hub.connections)
        await eventually(lambda: connection.wire.transport is None)


@both_loops
def test_p7_who_asks_for_much_and_reads_nothing_is_cut(run: Run) -> None:
    run(_unread())


async def _unread() -> None:
    waiting: list[int] = []

    def noted(transport: asyncio.Transport) -> None:
        waiting.append(transport.get_write_buffer_size())
        give_up(transport)

    with patch.object(http_response, "give_up", noted):
        await _unread_with_patience()
    assert waiting[0] < 1_000_000, "no copy of the body waits in the transport"


async def _unread_with_patience() -> None:
    async with hub_on_loopback(fanout={"slow_client_timeout": 2.5}) as running:
        hub = running.hub
        await hub.streams.make("much", StreamSettings("text/plain"), [(b"x" * 5_000_000, None)])
        asking = socket.socket()
        with asking:
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            asking.connect(("127.0.0.1", running.port))
            asking.send(b"GET /v1/stream/much?offset=-1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await eventually(lambda: hub.unsent.held >= 5_000_000)
            await eventually(lambda: not hub.unsent.held)


async def test_p7_responses_of_one_user_that_are_not_read_have_a_limit(start_hub: StartHub) -> None:
    running = await start_hub(auth=auth())
    hub, client = running.hub, running.client
    for name in ("ann", "bob"):
        path = f"/v1/stream/chat/{name}/1"
        head = {**bearer(name), "Content-Type": "text/plain"}
        async with client.put(path, data=b"x" * 100_000, headers=head) as response:
            assert response.status == 201
    hub.unsent.take(hub.unsent.share, "ann")
    statuses = []
    for name in ("ann", "bob"):
        path = f"/v1/stream/chat/{name}/1?offset=-1"
        async with client.get(path, headers=bearer(name)) as response:
            statuses.append((response.status, len(await response.read()) == 100_000))
    assert statuses == [(429, False), (200, True)]
    assert hub.unsent.held == hub.unsent.share


async def test_p7_subscriptions_and_frames_have_a_limit() -> None:
    async with hub_on_loopback(limits={"subscriptions": 3, "frame_bytes": 1000}) as running:
        for number in range(4):
            await running.hub.streams.create(f"s{number}")
        client = await running.follow(WebSocket, "s0")
        for number in (1, 2):
            reply = await client.ask(type="subscribe", stream=f"s{number}")
            assert reply["type"] == "ok"
        reply = await client.ask(type="subscribe", stream="s3")
        assert reply["code"] == "limit_exceeded"
        client.write(client_frame(json.dumps({"type": "ping", "id": "p" * 1000}).encode()))
        await client.until(lambda: None in client.replies)
        assert client.replies[None]["code"] == "frame_too_large"
        assert (await client.ask(type="ping"))["type"] == "ok"
        client.write(client_frame(b"x" * 10_000))
        await client.until(lambda: client.end)
        assert client.close_code == 1009
