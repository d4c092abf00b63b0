"""A full disk: what is refused has no effect, nothing waits for it, and idle streams make room."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Running, StartHub
from tests.faults.full_disk import FullDisk
from tests.support.patience import patient

PATIENCE = patient(20.0)
"""Seconds in which everything is answered; the store itself gives up after one."""

StartFilled = Callable[..., Awaitable[tuple[Running, FullDisk]]]


@pytest.fixture
async def start_filled(
    monkeypatch: pytest.MonkeyPatch, start_hub: StartHub, tmp_path: Path
) -> StartFilled:
    """A hub with the streams ``a`` and ``b``, neither in memory, on a disk that can be filled."""
    monkeypatch.setattr("hub.stores.sqlite.store.PATIENCE_SECONDS", patient(1.0))
    monkeypatch.setattr("hub.stores.sqlite.store.RETRY_SECONDS", 0.05)

    async def start(**tables: Any) -> tuple[Running, FullDisk]:
        disk = FullDisk(monkeypatch, full=False)
        store = {"url": f"sqlite:{tmp_path / 'hub.db'}"}
        before = await start_hub(store=store)
        for name in ("a", "b"):
            assert await asked(before, "PUT", name) == 201
        await before.client.close()
        return await start_hub(store=store, **tables), disk

    return start


async def asked(hub: Running, method: str, name: str) -> int:
    async with (
        asyncio.timeout(PATIENCE),
        hub.client.request(method, f"/v1/stream/{name}") as response,
    ):
        await response.read()
        return response.status


async def test_a_deletion_that_is_refused_at_once_has_no_effect(start_filled: StartFilled) -> None:
    hub, disk = await start_filled()
    disk.fill()
    assert await asked(hub, "PUT", "c") == 507, "this one finds out"
    assert await asked(hub, "DELETE", "a") == 507
    assert await asked(hub, "GET", "a") == 200
    disk.make_space()
    assert await asked(hub, "PUT", "c") == 200, "it was kept in the end"
    assert await asked(hub, "GET", "a") == 200
    assert await asked(hub, "DELETE", "a") == 204
    assert await asked(hub, "GET", "a") == 404


async def test_a_deletion_that_finds_the_disk_full_is_not_undone_by_a_read(
    start_filled: StartFilled,
) -> None:
    hub, disk = await start_filled()
    disk.fill()
    assert await asked(hub, "DELETE", "a") == 507, "it is not known to be kept"
    statuses = await asyncio.gather(*(asked(hub, "GET", "a") for _ in range(5)))
    assert set(statuses) == {404}
    assert await asked(hub, "HEAD", "a") == 404
    assert await asked(hub, "PUT", "a") == 507
    assert await asked(hub, "GET", "b") == 200, "others are read as ever"
    disk.make_space()
    async with asyncio.timeout(PATIENCE):
        while await asked(hub, "PUT", "a") != 201:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    assert await asked(hub, "GET", "a") == 200


async def test_idle_streams_make_room_for_new_ones_at_once(start_filled: StartFilled) -> None:
    hub, _ = await start_filled(limits={"streams": 5})
    statuses = [await asked(hub, "PUT", f"s{number}") for number in range(40)]
    assert set(statuses) == {201}
    assert hub.hub.streams.held <= 5
    statuses = [await asked(hub, "GET", f"s{number}") for number in range(40)]
    assert set(statuses) == {200}


async def test_many_new_streams_at_once_keep_to_the_limit(start_filled: StartFilled) -> None:
    hub, _ = await start_filled(limits={"streams": 5})
    statuses = await asyncio.gather(*(asked(hub, "PUT", f"s{number}") for number in range(40)))
    assert set(statuses) <= {201, 429}
    assert hub.hub.streams.held <= 5
    refused = [f"s{number}" for number, status in enumerate(statuses) if status == 429]
    assert [await asked(hub, "PUT", name) for name in refused] == [201] * len(refused)
