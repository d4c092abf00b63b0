"""Streams are listed, and a stream can be awaited, by the client."""

from __future__ import annotations

import asyncio

import pytest

from hub.client import Hub, Other, SyncHub
from hub.domain.errors import Forbidden
from tests.support.loopback_hub import Loopback, eventually, hub_on_loopback


def at(running: Loopback) -> str:
    return f"http://127.0.0.1:{running.port}"


async def test_streams_are_listed_by_name_over_any_number_of_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hub.client.hub.PAGE", 3)
    names = [f"list/{number}" for number in range(8)]
    async with hub_on_loopback(server={"list_streams": True}) as running, Hub(at(running)) as hub:
        for name in [*reversed(names), "other"]:
            await hub.append(name, {"n": 1})
        listed = [info async for info in hub.streams("list/")]
        assert [info.name for info in listed] == names
        assert {info.content_type for info in listed} == {"application/json"}
        assert not any(info.closed or info.running for info in listed)

        def list_all() -> list[str]:
            with SyncHub(at(running)) as blocking:
                return [info.name for info in blocking.streams()]

        assert await asyncio.to_thread(list_all) == [*names, "other"]


async def test_a_hub_that_does_not_list_says_so() -> None:
    async with hub_on_loopback() as running, Hub(at(running)) as hub:
        with pytest.raises(Forbidden, match="list_streams"):
            await anext(hub.streams())


async def test_a_stream_that_is_not_there_yet_is_waited_for() -> None:
    async with (
        hub_on_loopback() as running,
        Hub(at(running)) as hub,
        hub.follow("later", wait=True) as following,
    ):
        first = asyncio.ensure_future(following.__anext__())
        await eventually(lambda: running.hub.connections)
        await hub.append("later", {"n": 1})
        assert await first == Other({"n": 1})
