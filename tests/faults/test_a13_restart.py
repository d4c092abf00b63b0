"""A13: a restart refuses nobody, where another process holds the sockets."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest

from tests.faults.process import Process
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE


async def test_one_that_starts_waits_for_the_other_to_leave(tmp_path: Path) -> None:
    async with (
        Process(tmp_path, STREAMHUB_SERVER__DRAIN_SECONDS="300") as old,
        Process(tmp_path, STREAMHUB_STORE__LOCK_SECONDS="300") as new,
    ):
        await old.start()
        new.launch()
        waits = await new.says(r"waiting up to 300 s for process (\d+) to leave (\S+)")
        assert int(waits[1]) == old.process.pid
        # One that waits can be stopped.
        new.signal(signal.SIGINT)
        assert await new.ended() == 0
        assert "Traceback" not in new.said

        name = await old.ask("s", "stall")
        old.signal(signal.SIGTERM)
        await old.draining()
        new.launch()
        await new.says("waiting")
        assert await old.append("s", "still here") == 204
        async with old.client.delete(f"/v1/generations/{name}") as stopped:
            assert stopped.status == 200
        assert await old.ended() == 0
        await new.says("Streamhub runs at")
        events = await new.events("s")
        assert [event["type"] for event in events][-1] == "cancelled"
        assert "still here" in [event.get("text") for event in events]


# Sockets that outlive a process


@pytest.fixture
def held() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as made:
        yield made


async def test_restarts_under_constant_requests_refuse_nobody_and_lose_nothing(
    tmp_path: Path, held: socket.socket
) -> None:
    acked: list[str] = []
    going = True

    async def write(hub: Process, writer: int) -> None:
        number = 0
        while going:
            text = f"{writer}.{number}"
            # No exception is caught: nobody is refused, nor cut off.
            assert await hub.append("notes", text) == 204
            acked.append(text)
            number += 1

    async with AsyncExitStack() as stack:
        hubs = [
            await stack.enter_async_context(Process(tmp_path, listening=[held])) for _ in range(3)
        ]
        client = hubs[0]
        client.launch()
        await client.create("notes")  # it waits in the socket until the hub is there
        writers = [asyncio.create_task(write(client, number)) for number in range(4)]

        async def written() -> None:
            goal = len(acked) + 20
            await eventually(lambda: len(acked) >= goal or any(one.done() for one in writers))

        for old, new in pairwise(hubs):
            await written()
            new.launch()
            await new.says("waiting")
            old.signal(signal.SIGTERM)
            assert await old.ended() == 0
            await new.says("Streamhub runs at")
        await written()
        going = False
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*writers)
        texts = [event["text"] for event in await client.events("notes")]
        assert sorted(texts) == sorted(acked)


async def test_a_path_is_handed_over_too(tmp_path: Path, held: socket.socket) -> None:
    path = tmp_path / "hub.sock"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
        made.listen()
        async with Process(tmp_path, listening=[held, made]) as hub:
            await hub.start()
            assert await hub.get("/livez") == (200, "ok\n")
            connector = aiohttp.UnixConnector(str(path))
            async with (
                aiohttp.ClientSession(connector=connector) as client,
                client.get("http://hub/livez") as reply,
            ):
                assert reply.status == 200
            hub.signal(signal.SIGTERM)
            assert await hub.ended() == 0
        assert path.exists(), "it is whose who made it"


async def test_what_cannot_be_listened_on_is_refused_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        async with Process(tmp_path, listening=[deaf]) as hub:
            hub.launch()
            assert await hub.ended() == 1
            assert hub.said.startswith("error: the file 3 that was passed to the hub")
            assert hub.said.endswith("is not a listening stream socket (bad_socket)\n")
            assert hub.said.count("\n") == 1
