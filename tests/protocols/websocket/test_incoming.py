"""Messages that are not complete: their bytes are counted as they come, and they have a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from tests.conftest import Running, StartHub
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.people import KEYS, auth
from tests.support.raw_socket import UPGRADE, client_frame

PART: Final = client_frame(b" " * 50_000, 0, final=False)


@asynccontextmanager
async def opened(hub: Running, who: str | None = None) -> AsyncIterator[Any]:
    """A WebSocket's socket: to be read from, and to be written to."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.client.port)
    shown = f"Authorization: Bearer {KEYS[who]}\r\n" if who else ""
    writer.write(UPGRADE + f"{shown}\r\n".encode())
    async with asyncio.timeout(PATIENCE):
        await reader.readuntil(b"\r\n\r\n")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def is_cut(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read() == b""
    except ConnectionError:
        return True


async def test_they_are_counted_until_they_are_complete(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth())
    allowance = hub.hub.allowance
    async with opened(hub, "ann") as (reader, writer):
        writer.write(client_frame(b'{"id":1,', final=False) + PART * 4)
        await eventually(lambda: allowance.held_by("ann") > 150_000)
        writer.write(client_frame(b'"type":"ping"}', 0))
        async with asyncio.timeout(PATIENCE):
            assert b'"ok"' in await reader.readuntil(b"}")
        assert allowance.held == 0
        writer.write(client_frame(b"{", final=False) + PART * 4)
        await eventually(lambda: allowance.held_by("ann") > 150_000)
    await eventually(lambda: allowance.held == 0)


async def test_one_that_finds_no_room_is_cut_off(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth())
    async with opened(hub, "ann") as (reader, writer), opened(hub, "bob") as (other, of_bob):
        with hub.hub.allowance.taken(hub.hub.allowance.share, "ann"):
            for one in (writer, of_bob):
                one.write(client_frame(b'{"id":1,', final=False) + PART * 4)
            assert await is_cut(reader)
            of_bob.write(client_frame(b'"type":"ping"}', 0))
            async with asyncio.timeout(PATIENCE):
                assert b'"ok"' in await other.readuntil(b"}")


async def test_nobody_sends_much_without_a_credential(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth())
    async with opened(hub) as (reader, writer):
        writer.write(client_frame(b"{", final=False) + PART * 4)
        assert await is_cut(reader)
    async with opened(hub) as (reader, writer):
        # What follows a credential at once may be large.
        token = json.dumps({"id": 1, "type": "auth", "token": KEYS["ann"]}).encode()
        writer.write(client_frame(token) + client_frame(b'{"id":2,', final=False) + PART * 4)
        writer.write(client_frame(b'"type":"ping"}', 0))
        async with asyncio.timeout(PATIENCE):
            assert b'"ok"' in await reader.readuntil(b"}")
            assert b'"id":2' in await reader.readuntil(b"}")


async def test_one_that_takes_too_long_is_cut_off(start_hub: StartHub) -> None:
    hub = await start_hub(limits={"body_seconds": 0.2})
    async with opened(hub) as (reader, writer):
        writer.write(client_frame(b"{", final=False) + PART * 2)
        assert await is_cut(reader)
    assert hub.hub.allowance.held == 0


async def test_pings_between_do_not_make_a_message_shorter(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth())
    allowance = hub.hub.allowance
    async with opened(hub, "ann") as (reader, writer):
        del reader
        writer.write(client_frame(b"{", final=False) + PART + client_frame(b"", 9) + PART * 3)
        await eventually(lambda: allowance.held_by("ann") > 150_000)
